# docker build -t dreamerv2_tfa .
# docker run --gpus all -v "$PWD/runs:/runs" dreamerv2_tfa --root_dir=/runs/a
#
# The image only has to let the driver in: the CUDA 12.2 libraries, and the
# ptxas that XLA needs, are wheels in requirements.lock.
FROM nvidia/cuda:12.2.2-base-ubuntu22.04

RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y \
        --no-install-recommends ca-certificates python3.11 python3.11-venv \
        libegl1 libopengl0 libgl1-mesa-dri \
    && rm -rf /var/lib/apt/lists/*

# There is no driver while an image is built, so the GPU is named here.
ENV DREAMERV2_TFA_GPU=1 PIP_NO_CACHE_DIR=1

WORKDIR /opt/dreamerv2_tfa
COPY . .
# launch/ runs it as user 1000, who may write a volume at /runs and nothing here.
RUN install -d -o 1000 -g 1000 /runs \
    && chmod -R a+rX . \
    && bin/python -c 'import dreamerv2_tfa'

ENTRYPOINT ["/opt/dreamerv2_tfa/bin/train"]
