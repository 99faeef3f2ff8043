# Not built on a device yet; see docs/jetson.md. JetPack 6.1 and 6.2: L4T 36.4, CUDA 12.6, TensorRT 10.3, Python 3.10.
# JetPack 7: --build-arg IMAGE=... with CUDA 13, TensorRT and its Python module, and --build-arg EXTRA=cuda13.
ARG IMAGE=nvcr.io/nvidia/l4t-jetpack:r36.4.0
FROM ${IMAGE}
ARG EXTRA=cuda12

RUN apt-get update && apt-get install -y --no-install-recommends python3-venv && rm -rf /var/lib/apt/lists/*
COPY . /src
# The system's Python with its packages: TensorRT is one of them. Nothing here imports it: its libraries need those of
# the board, which only `--runtime nvidia` mounts.
RUN python3 -m venv --system-site-packages /opt/mde && /opt/mde/bin/pip install --no-cache-dir "/src[${EXTRA}]"

ENV PATH=/opt/mde/bin:$PATH MDE_CACHE=/cache
RUN mkdir -m 700 /cache
VOLUME /cache
WORKDIR /models
CMD ["mde-doctor"]
