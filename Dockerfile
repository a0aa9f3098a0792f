# syntax=docker/dockerfile:1
# Myntverk as a container: /config/factory.yaml is the plant's file, /data its ledger, keys and certificates.

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/myntverk
ENV PATH=/opt/myntverk/bin:$PATH
COPY requirements.lock ./
RUN pip install --require-hashes --only-binary :all: -r requirements.lock
COPY . .
# setuptools came with the lock, so that building fetches nothing; the runtime needs neither it nor pip.
RUN pip install --no-deps --no-build-isolation . \
 && pip uninstall --yes setuptools \
 && pip uninstall --yes pip

FROM python:3.13-slim
LABEL org.opencontainers.image.title="Myntverk" \
      org.opencontainers.image.description="Machines in a factory pay each other, in real time" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 myntverk \
 && useradd --uid 10001 --gid myntverk --no-create-home --home-dir /data --shell /usr/sbin/nologin myntverk \
 && install --directory --owner myntverk --group myntverk --mode 0750 /data \
 && install --directory /config
COPY --from=build /opt/myntverk /opt/myntverk
ENV PATH=/opt/myntverk/bin:$PATH MYNTVERK_PLANT=/config/factory.yaml PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /
VOLUME /data
EXPOSE 4840
STOPSIGNAL SIGTERM
# Answers on opc.tcp://127.0.0.1:4840, so the plant's file must let the server listen there.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["myntverk", "health"]
CMD ["myntverk", "run", "/config/factory.yaml", "--data", "/data"]
