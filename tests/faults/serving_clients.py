"""Good clients of a server, in a process of their own: serving_test runs it.

    serving_clients.py PORT CLIENTS STEPS

Prints, as JSON, the seconds that each step took and the actions of each client,
whose seed is its number.
"""

import http.client
import json
import sys
import threading
import time

import numpy as np

_JSON = {'Content-Type': 'application/json'}


def observed(seed):
  """An observation of the policy that `exported` writes."""
  rng = np.random.default_rng(seed)
  return {
      'position': np.float32(rng.normal(size=3)).tolist(),
      'level': rng.integers(0, 256, 2).tolist(),
      'speed': float(np.float32(rng.normal())),
  }


def play(port, seed, steps):
  """Takes steps in a session of its own: the actions, and their seconds."""
  client = http.client.HTTPConnection('127.0.0.1', port, timeout=120)

  def ask(method, path, body=None):
    client.request(method, path, json.dumps(body), _JSON)
    answer = client.getresponse()
    said = json.loads(answer.read())
    assert answer.status in (200, 201), (answer.status, said)
    return said

  name = ask('POST', '/v1/sessions', {'seed': seed})['session']
  actions, seconds = [], []
  for step in range(steps):
    observation = observed(1000 * seed + step)
    start = time.perf_counter()
    answer = ask('POST', f'/v1/sessions/{name}:act',
                 {'observation': observation})
    seconds.append(time.perf_counter() - start)
    actions.append(answer['action'])
  ask('DELETE', f'/v1/sessions/{name}')
  client.close()
  return actions, seconds


def main(port, clients, steps):
  """Lets all play at once; a client that fails is missing in what it prints."""
  played = {}

  def run(seed):
    played[seed] = play(port, seed, steps)

  threads = [threading.Thread(target=run, args=[k]) for k in range(clients)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  print(json.dumps({
      'actions': {k: actions for k, (actions, _) in played.items()},
      'seconds': [x for _, seconds in played.values() for x in seconds],
  }))


if __name__ == '__main__':
  main(*map(int, sys.argv[1:]))
