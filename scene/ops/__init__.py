"""Operations on voxels and points of scenes, each fast path beside the formula that defines it."""
