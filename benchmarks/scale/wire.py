"""Counts the bytes that pass between a client and a server."""

import contextlib
import socket
import threading


class Wire:
  """A port of this machine that passes all on to another, and counts it.

  Attributes:
    address: HOST:PORT that takes the place of the server's.
    sent: Bytes from clients to the server.
    received: Bytes from the server to clients.
  """

  def __init__(self, port):
    self._port, self.sent, self.received = port, 0, 0
    self._listening = socket.create_server(('127.0.0.1', 0))
    self.address = f'127.0.0.1:{self._listening.getsockname()[1]}'
    threading.Thread(target=self._accept, daemon=True).start()

  def _accept(self):
    while True:
      client, _ = self._listening.accept()
      try:
        server = socket.create_connection(('127.0.0.1', self._port))
      except OSError:  # the server has ended
        client.close()
        return
      for source, target, name in (
          (client, server, 'sent'), (server, client, 'received')):
        threading.Thread(
            target=self._pass, args=[source, target, name],
            daemon=True).start()

  def _pass(self, source, target, name):
    with contextlib.suppress(OSError):
      while data := source.recv(2**16):
        target.sendall(data)
        setattr(self, name, getattr(self, name) + len(data))
      target.shutdown(socket.SHUT_WR)
