# A container for those who host the demo themselves; docs/hosting.md says how it is built and run.
FROM python:3.11-slim

# Which build of PyTorch: the one without CUDA, "+cpu", is much smaller, and stands in an index of its own.
ARG PIP_EXTRA_INDEX_URL=""
ARG TORCH_BUILD=""
# requirements-cluster.txt adds Ray.
ARG REQUIREMENTS=requirements.txt

WORKDIR /app
COPY requirements.txt requirements-cluster.txt ./
RUN sed -i -E "s/^(torch|torchvision)(==.*)/\1\2${TORCH_BUILD}/" requirements.txt \
    && pip install --no-cache-dir -r ${REQUIREMENTS} \
    && useradd --create-home --uid 1000 demo \
    && mkdir /models \
    && chown 1000 /models

COPY app.py ./
COPY demo ./demo
COPY explainers ./explainers
COPY assets ./assets
RUN python -m compileall -q demo explainers

USER 1000
ENV PYTHONUNBUFFERED=1 \
    GRADIO_TEMP_DIR=/tmp/gradio \
    MPLCONFIGDIR=/tmp/matplotlib \
    HF_HOME=/models/huggingface \
    TORCH_HOME=/models/torch
VOLUME /models
EXPOSE 7860
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/health')"]
CMD ["python", "app.py", "--host", "0.0.0.0", "--port", "7860"]
