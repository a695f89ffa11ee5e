# The service for a machine without a GPU:
#   docker build -t remembrandt .
#   docker run -v remembrandt:/data remembrandt users add ann
#   docker run -v remembrandt:/data -p 8000:8000 --stop-timeout 30 remembrandt
# With CUDA: docker build --build-arg PIP_FLAGS= -t remembrandt . and docker run --gpus all ...
FROM python:3.13-slim

ARG PIP_FLAGS="--extra-index-url https://download.pytorch.org/whl/cpu"

COPY . /src
RUN pip install --no-cache-dir --disable-pip-version-check ${PIP_FLAGS} -c /src/constraints.txt /src \
    && rm -r /src \
    && useradd --system --create-home --uid 10001 painter \
    && install --directory --owner painter /data

USER painter
WORKDIR /data
ENV REMEMBRANDT_HOME=/data PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["remembrandt"]
CMD ["serve", "--host", "0.0.0.0"]
