"""What the files of launch/ say, as tests read it."""

import importlib.util
import pathlib
import re

from ruamel import yaml

ROOT = pathlib.Path(__file__).resolve().parents[1]
LAUNCH = ROOT / 'launch'
ROLES = ('replay', 'learner', 'collector', 'evaluator')


def writer():
  """The module launch/write.py."""
  spec = importlib.util.spec_from_file_location('write', LAUNCH / 'write.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def read(name):
  """The documents of a YAML file of launch/."""
  text = (LAUNCH / name).read_text(encoding='utf-8')
  return list(yaml.YAML(typ='safe', pure=True).load_all(text))


def services():
  """The services of compose.yaml, by name."""
  (document,) = read('compose.yaml')
  return document['services']


def objects(name='kubernetes.yaml'):
  """The objects of a file for Kubernetes, by kind and name."""
  return {(each['kind'], each['metadata']['name']): each
          for each in read(name)}


def pods():
  """What the pods of kubernetes.yaml are, by role: `spec.template`."""
  return {name: each['spec']['template']
          for (_, name), each in objects().items()
          if 'template' in each['spec']}


def compose_arguments(role):
  """The arguments that Compose gives to the entry point of a service."""
  return [_expanded(x, {}) for x in services()[role]['command']]


def kubernetes_arguments(role, index=0):
  """Those that Kubernetes gives to that of a pod."""
  (container,) = pods()[role]['spec']['containers']
  variables = {'$(JOB_COMPLETION_INDEX)': str(index)}
  return [_expanded(x, variables) for x in container['args']]


def _expanded(text, variables):
  """Replaces variables and `$$`; any other `$` is an error."""
  return re.sub(r'\$(\$|\(\w+\)|)', lambda found: {
      '$$': '$', **variables}[found[0]], text)
