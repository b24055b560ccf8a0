# The server with its page: docker compose up, or see docs/server.md.

FROM node:22-slim AS page
WORKDIR /mien/web
COPY web/package.json web/package-lock.json ./
RUN npm ci
COPY web .
COPY src/mien/models ../src/mien/models
COPY assets/astronaut.jpg ../assets/
RUN npm run build

FROM python:3.11-slim AS install
WORKDIR /mien
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
COPY web web
COPY assets/astronaut.jpg assets/
COPY --from=page /mien/web/dist src/mien/page
RUN python -m venv /opt/mien && /opt/mien/bin/pip install --no-cache-dir -c constraints.txt ".[serve]"

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home mien
COPY --from=install /opt/mien /opt/mien
ENV PATH=/opt/mien/bin:$PATH PYTHONDONTWRITEBYTECODE=1
USER 10001
EXPOSE 8000
HEALTHCHECK --start-period=15s --timeout=5s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/v1/health', timeout=4)"]
ENTRYPOINT ["mien", "serve", "--host", "0.0.0.0"]
