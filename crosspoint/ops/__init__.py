"""Operations on clouds and embeddings, each fast path beside the formula that defines it."""
