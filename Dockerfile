# One image for all of Airflow's programs. docs/images.md says how to build and run it, and why it
# stands on this base.
#
# A tag can be moved, a digest cannot. To pin the base by digest, look it up and give it:
#   docker buildx imagetools inspect apache/airflow:slim-3.3.2-python3.11
#   docker build --build-arg BASE_IMAGE=apache/airflow:slim-3.3.2-python3.11@sha256:… .
ARG BASE_IMAGE=apache/airflow:slim-3.3.2-python3.11


# The packages alone, so that a changed model does not install them anew.
FROM ${BASE_IMAGE} AS packages

USER 50000:0
COPY requirements-image.txt /tmp/requirements-image.txt
# An index with a password is given as `--secret id=pip.conf,src=…`, and stays in no layer.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf,uid=50000 \
    pip install --no-cache-dir --require-hashes --requirement /tmp/requirements-image.txt \
    && pip check


# The project, with what would otherwise be downloaded or parsed when a task starts.
FROM packages AS project

# The licence of this project. Packages bring their own licences and notices, which stay with them.
LABEL org.opencontainers.image.title="firn" \
      org.opencontainers.image.licenses="Apache-2.0"

# What the manifest says of databases and schemas. Containers must have the same settings.
ARG FIRN_TARGET=prod
ARG FIRN_ELEMENTARY=on
# Where the base has Airflow's home, and so looks for DAGs if nobody says otherwise.
ARG PROJECT=/opt/airflow
ENV FIRN_TARGET=${FIRN_TARGET} \
    FIRN_ELEMENTARY=${FIRN_ELEMENTARY} \
    FIRN_USER=firn \
    FIRN_HOME=/var/lib/firn \
    FIRN_DBT_MANIFEST=${PROJECT}/manifest/manifest.json \
    PYTHONPATH=${PROJECT} \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DO_NOT_TRACK=1 \
    SCARF_NO_ANALYTICS=true \
    AIRFLOW__COSMOS__ENABLE_TELEMETRY=False \
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False \
    AIRFLOW__CORE__LOAD_EXAMPLES=False

USER 0
RUN install --directory --owner=50000 --group=0 --mode=0775 \
    "${PROJECT}" "${PROJECT}/manifest" "${FIRN_HOME}"
USER 50000:0
WORKDIR ${PROJECT}
COPY --chown=50000:0 LICENSE NOTICE packages.yml ./
COPY --chown=50000:0 dbt dbt
COPY --chown=50000:0 include include
COPY --chown=50000:0 dags dags
COPY --chown=50000:0 plugins plugins
COPY --chmod=755 include/commands/firn.sh /usr/local/bin/firn

# Packages of dbt's hub: those of dbt/dbt_packages if the folder was filled before, as where the
# hub is out of reach, else the ones that dbt/package-lock.yml names.
RUN if [ "${FIRN_ELEMENTARY}" = on ] && [ ! -d dbt/dbt_packages/elementary ]; then \
        FIRN_TARGET=local dbt deps --project-dir dbt --profiles-dir dbt --log-path /tmp/dbt; \
    fi
# Parsing asks no account, so any name will do, and no secret is needed.
RUN SNOWFLAKE_ACCOUNT=any SNOWFLAKE_USER=any SNOWFLAKE_WAREHOUSE=any \
        SNOWFLAKE_AUTHENTICATOR=externalbrowser FIRN_HOME=/tmp/build \
        python -m include.commands manifest \
    && rm -rf /tmp/build manifest/parse manifest/lock \
    && python -m compileall -q include dags


# For Astro, whose platform starts the programs itself and so keeps the entry point of its base:
# docs/images.md has the command.
FROM project AS astro


FROM project AS docker

VOLUME ["/var/lib/firn"]
EXPOSE 8080
# Starting Airflow's command line takes seconds, so it is not asked often.
HEALTHCHECK --interval=60s --timeout=50s --start-period=120s --retries=3 \
    CMD ["python", "-m", "include.airflow.container", "health"]
ENTRYPOINT ["/usr/bin/dumb-init", "--", "python", "-m", "include.airflow.container"]
CMD ["api-server"]
