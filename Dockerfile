# One image, three commands: web, worker, migrate.
# docker build -t copydesk .   and then   docker compose -f deploy/compose.yaml up

FROM python:3.13-slim AS build
WORKDIR /app
COPY deploy/bootstrap.py deploy/bootstrap.py
COPY requirements.txt .
RUN python3 deploy/bootstrap.py requirements.txt

FROM python:3.13-slim
RUN useradd --uid 10001 --no-create-home copydesk
WORKDIR /app
COPY --from=build /app/.venv .venv
COPY wsgi.py .
COPY service service
COPY classifier classifier
COPY training training
ENV PATH=/app/.venv/bin:$PATH HOST=0.0.0.0 PORT=8000 PYTHONUNBUFFERED=1
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s CMD ["python", "-c", "import http.client as h, sys; c = h.HTTPConnection('127.0.0.1', 8000, timeout=2); c.request('GET', '/health'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["python", "-m", "service"]
CMD ["web"]
