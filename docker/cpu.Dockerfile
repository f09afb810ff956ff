# docker build -f docker/cpu.Dockerfile -t mdcsrn .
# docker run --rm --user $(id -u):$(id -g) -v $PWD:/data mdcsrn --input=/data/scan.nii.gz --output=/data/sr.nii.gz
FROM python:3.11-slim

ENV PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp

WORKDIR /opt/mdcsrn
COPY setup.py pyproject.toml constraints.txt README.md LICENSE ./
COPY data_prep ./data_prep
COPY mdcsrn_tf ./mdcsrn_tf
RUN pip install --constraint constraints.txt ".[dicom,openvino]" \
    && useradd --create-home --uid 1000 mdcsrn

USER 1000
WORKDIR /data
ENTRYPOINT ["mdcsrn-infer"]
CMD ["--help"]
