# crosspoint without an installation of your own. No dataset is inside: mount yours at /work.
#   docker build --target cpu --tag crosspoint:cpu .
#   docker run --rm --volume "$PWD:/work" crosspoint:cpu render MESHES data/views
#   docker build --target cuda --tag crosspoint:cuda .
#   docker run --rm --gpus all --shm-size 8g --volume "$PWD:/work" crosspoint:cuda pretrain RUN.yaml
# Files in your folder then belong to user 1000; add --user "$(id -u):$(id -g)" where that is not you.
# Paths are relative but for WORKDIR and COPY, so that tools/docker_steps.py can run the steps without Docker.

FROM python:3.11-slim AS wheel
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE ./
COPY crosspoint crosspoint
COPY renderers renderers
COPY scene scene
COPY eval eval
RUN python -m pip wheel --no-deps --wheel-dir wheels .

FROM python:3.11-slim AS base
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PYTHONUNBUFFERED=1
RUN useradd --create-home --uid 1000 crosspoint && install --directory --owner crosspoint /work
WORKDIR /opt/crosspoint
COPY constraints.txt ./
COPY --from=wheel /src/wheels wheels

FROM base AS cpu
RUN python -m pip install --constraint constraints.txt --extra-index-url https://download.pytorch.org/whl/cpu wheels/*.whl
USER crosspoint
WORKDIR /work
RUN crosspoint doctor
ENTRYPOINT ["crosspoint"]
CMD ["--help"]

FROM base AS cuda
# PyTorch's wheels bring CUDA's libraries; the driver is the host's. Triton compiles with gcc.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
RUN python -m pip install --constraint constraints.txt wheels/*.whl
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER crosspoint
WORKDIR /work
RUN crosspoint doctor
ENTRYPOINT ["crosspoint"]
CMD ["--help"]
