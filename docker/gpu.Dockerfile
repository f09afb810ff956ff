# docker build -f docker/gpu.Dockerfile -t mdcsrn-gpu .
# docker run --rm --gpus all --user $(id -u):$(id -g) -v $PWD:/data mdcsrn-gpu --input=/data/in --output=/data/out
# The CUDA libraries come from TensorFlow's own wheels; the host needs the NVIDIA driver and container toolkit.
FROM python:3.11-slim

ENV PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

WORKDIR /opt/mdcsrn
COPY setup.py pyproject.toml constraints.txt README.md LICENSE ./
COPY data_prep ./data_prep
COPY mdcsrn_tf ./mdcsrn_tf
RUN pip install --constraint constraints.txt ".[gpu,dicom]" \
    && useradd --create-home --uid 1000 mdcsrn

USER 1000
WORKDIR /data
ENTRYPOINT ["mdcsrn-infer"]
CMD ["--help"]
