# SPDX-License-Identifier: Apache-2.0
"""An NBD server that does what a test tells it, right or wrong.

The protocol is that of the NBD project's doc/proto.md: fixed newstyle
negotiation, structured replies.
"""

import contextlib
import errno
import os
import socket
import struct
import threading

import fixtures

_GREETING = struct.Struct('>QQH')
_OPTION = struct.Struct('>QII')  # magic, option, length
_OPTION_REPLY = struct.Struct('>QIII')  # magic, option, type, length
_REQUEST = struct.Struct('>IHHQQI')  # magic, flags, type, cookie, from, length
_SIMPLE = struct.Struct('>IIQ')  # magic, error, cookie
_CHUNK = struct.Struct('>IHHQI')  # magic, flags, type, cookie, length

_IHAVEOPT = 0x49484156454F5054
_OPT_ABORT, _OPT_GO, _OPT_STRUCTURED, _OPT_SET_META = 2, 7, 8, 10
_REP_ACK, _REP_INFO, _REP_META = 1, 3, 4
_REP_ERR_UNSUP, _REP_ERR_POLICY = (1 << 31) + 1, (1 << 31) + 2
_READ, _WRITE, _DISC, _FLUSH, _ZERO, _STATUS = 0, 1, 2, 3, 6, 7
_DONE, _OFFSET_DATA, _BLOCK_STATUS, _ERROR = 1, 1, 5, (1 << 15) + 1

HAS_FLAGS, READ_ONLY, SEND_FLUSH, ZEROES, MULTI = 1, 2, 4, 64, 256
NAMES = {_READ: 'read', _WRITE: 'write', _FLUSH: 'flush', _ZERO: 'zero'}


class HangUp(Exception):
    """For a hook: end this connection."""


class Silence(Exception):
    """For a hook: never answer this command."""


class HostileServer(fixtures.Fixture):
    """Every export name leads to the same.

    :ivar content: what it holds
    :ivar size: what it says that it holds
    :ivar flags: transmission flags
    :ivar blocks: minimum, preferred and maximum block size, or None
    :ivar contexts: by name, what answers for an offset and a length: a list
        of lists of (length, flags); each becomes a reply of its own
    :ivar hook: called with the name of each command, offset and length; may
        raise OSError, for an error, HangUp or Silence, and may take its time
    :ivar deny: whether all exports are forbidden
    :ivar calls: what came, in order
    :ivar connections: how many there were
    :ivar sessions: their threads
    :ivar farewells: how many said good-bye
    :param tcp: listen to a port, and not at a socket of UNIX
    """

    def __init__(self, content: bytes, tcp: bool = False) -> None:
        super().__init__()
        self.tcp = tcp
        self.content = bytearray(content)
        self.size = len(content)
        self.flags = HAS_FLAGS | SEND_FLUSH | ZEROES | MULTI
        self.blocks = None
        self.contexts = {}
        self.hook = lambda name, offset, length: None
        self.deny = False
        self.calls = []
        self.connections = 0
        self.sessions = []
        self.farewells = 0
        self.open = []

    def _setUp(self) -> None:
        self.directory = self.useFixture(fixtures.TempDir()).path
        self.path = os.path.join(self.directory, 'hostile.sock')
        self.start()
        self.addCleanup(self.stop)

    def start(self) -> None:
        if self.tcp:
            self._listener = socket.socket()
            # So that what the server does not read stays with the client.
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            self._listener.bind(('127.0.0.1', 0))
            self.port = self._listener.getsockname()[1]
        else:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(self.path)
        self._listener.listen(16)
        self._acceptor = threading.Thread(
            target=self._accept, args=(self._listener,), daemon=True
        )
        self._acceptor.start()

    def stop(self) -> None:
        """Hang up on everybody, and be gone."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()
        self.hang_up()

    def hang_up(self) -> None:
        for connection in self.open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            self.open.append(connection)
            session = threading.Thread(
                target=self._serve, args=(connection,), daemon=True
            )
            self.sessions.append(session)
            session.start()

    def _serve(self, connection: socket.socket) -> None:
        with (
            connection,
            contextlib.suppress(HangUp, OSError),
            connection.makefile('rb') as stream,
        ):
            _Session(self, connection, stream).run()


class _Session:
    def __init__(self, server, connection, stream) -> None:
        self.server = server
        self.connection = connection
        self.stream = stream
        self.wanted = []

    def run(self) -> None:
        self.server.hook('greet', 0, 0)
        self.send(_GREETING.pack(0x4E42444D41474943, _IHAVEOPT, 3))
        self.receive(4)
        while not self.option():
            pass
        while True:
            self.command()

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def receive(self, length: int) -> bytes:
        data = self.stream.read(length)
        if len(data) < length:
            raise HangUp
        return data

    def option(self) -> bool:
        """Returns whether the negotiation is over."""
        _, option, length = _OPTION.unpack(self.receive(_OPTION.size))
        data = self.receive(length)
        if option == _OPT_STRUCTURED:
            self.reply(option, _REP_ACK)
        elif option == _OPT_SET_META:
            self.set_contexts(option, data)
        elif option == _OPT_GO and self.server.deny:
            self.reply(option, _REP_ERR_POLICY)
        elif option == _OPT_GO:
            export = struct.pack(
                '>HQH', 0, self.server.size, self.server.flags
            )
            self.reply(option, _REP_INFO, export)
            if self.server.blocks:
                self.reply(
                    option,
                    _REP_INFO,
                    struct.pack('>HIII', 3, *self.server.blocks),
                )
            self.reply(option, _REP_ACK)
            return True
        elif option == _OPT_ABORT:
            raise HangUp
        else:
            self.reply(option, _REP_ERR_UNSUP)
        return False

    def reply(self, option: int, kind: int, data: bytes = b'') -> None:
        head = _OPTION_REPLY.pack(0x3E889045565A9, option, kind, len(data))
        self.send(head + data)

    def set_contexts(self, option: int, data: bytes) -> None:
        (length,) = struct.unpack_from('>I', data)
        place = 4 + length
        (count,) = struct.unpack_from('>I', data, place)
        place += 4
        for _ in range(count):
            (length,) = struct.unpack_from('>I', data, place)
            name = data[place + 4 : place + 4 + length].decode()
            place += 4 + length
            if name in self.server.contexts:
                self.wanted.append(name)
                number = struct.pack('>I', len(self.wanted))
                self.reply(option, _REP_META, number + name.encode())
        self.reply(option, _REP_ACK)

    def command(self) -> None:
        _, _, kind, cookie, offset, length = _REQUEST.unpack(
            self.receive(_REQUEST.size)
        )
        data = self.receive(length) if kind == _WRITE else b''
        if kind == _DISC:
            self.server.farewells += 1
            raise HangUp
        name = 'status' if kind == _STATUS else NAMES.get(kind, str(kind))
        self.server.calls.append((name, offset, length))
        try:
            self.server.hook(name, offset, length)
        except OSError as e:
            self.fail(kind, cookie, e.errno or errno.EIO)
            return
        except Silence:
            return
        content = self.server.content
        if kind == _READ:
            piece = bytes(content[offset : offset + length])
            head = struct.pack('>Q', offset)
            self.chunk(_DONE, _OFFSET_DATA, cookie, head + piece)
        elif kind == _STATUS:
            self.status(cookie, offset, length)
        else:
            if kind == _ZERO:
                data = bytes(length)
            content[offset : offset + len(data)] = data
            self.send(_SIMPLE.pack(0x67446698, 0, cookie))

    def status(self, cookie: int, offset: int, length: int) -> None:
        for number, name in enumerate(self.wanted, 1):
            for entries in self.server.contexts[name](offset, length):
                self.chunk(
                    *(0, _BLOCK_STATUS, cookie),
                    struct.pack('>I', number)
                    + b''.join(struct.pack('>II', *pair) for pair in entries),
                )
        self.chunk(_DONE, 0, cookie, b'')

    def fail(self, kind: int, cookie: int, number: int) -> None:
        if kind in (_READ, _STATUS):
            error = struct.pack('>IH', number, 0)
            self.chunk(_DONE, _ERROR, cookie, error)
        else:
            self.send(_SIMPLE.pack(0x67446698, number, cookie))

    def chunk(self, flags: int, kind: int, cookie: int, data: bytes) -> None:
        head = _CHUNK.pack(0x668E33EF, flags, kind, cookie, len(data))
        self.send(head + data)
