#!/usr/bin/env bash
# packages: imapproxy 1.2.8~svn20171105-2+b2, libwrap0, libnsl2, libtirpc3 (Debian 12)
# versions: up-imapproxy 1.2.8
# behaviour: the proxy passes on what the server offers, ENABLE too, and keeps the connection of a client that
#   logged out for the next one that signs in with the same name and password. What was enabled there
#   stays enabled: a client that enabled nothing gets names of mailboxes in UTF-8, because another did.
# usual guess: each session begins anew, as it does where every LOGOUT ends a connection; RFC 5161 has no
#   way to disable.
# what follows: nobody can undo an ENABLE for the proxy, so sallyport offers UTF8=ACCEPT, IMAP4rev2 and the others
#   account by account: docs/imap.md says what to switch off behind such a proxy.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server:-}" "${proxy:-}" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
chmod 755 .
apt-get download -q imapproxy=1.2.8~svn20171105-2+b2 libwrap0 libnsl2 libtirpc3 >/dev/null
for deb in *.deb; do dpkg -x "$deb" root; done
so=$(find "$dir/root" -type d -name "$(uname -m)-linux-gnu" | paste -sd:)
cat >server.py <<'PY'
# A server that does what it is told and no more.
import socket, threading

seen = 0


def serve(conn):
    global seen
    f = conn.makefile("rwb")

    def say(line):
        f.write(line.encode() + b"\r\n")
        f.flush()

    say("* OK ready")
    utf8 = False
    for line in iter(f.readline, b""):
        tag, command, *rest = line.decode().split()
        command = command.upper()
        if command == "CAPABILITY":
            say("* CAPABILITY IMAP4rev1 ENABLE UTF8=ACCEPT")
        elif command == "LOGIN":
            seen += 1
            open("sessions", "w").write(str(seen))
        elif command == "ENABLE":
            utf8 = True
            say("* ENABLED UTF8=ACCEPT")
        elif command == "LIST":
            say('* LIST () "/" "%s"' % ("Grüße" if utf8 else "Gr&APwA3w-e"))
        elif command == "LOGOUT":
            say("* BYE")
        say(tag + " OK done")
        if command == "LOGOUT":
            break
    conn.close()


def quietly(conn):
    try:
        serve(conn)
    except ConnectionError:
        pass  # the proxy has gone


ln = socket.create_server(("127.0.0.1", 0))
open("port.new", "w").write(str(ln.getsockname()[1]))
__import__("os").rename("port.new", "port")
while True:
    threading.Thread(target=quietly, args=(ln.accept()[0],), daemon=True).start()
PY
cat >client.py <<'PY'
import imaplib, sys

port, enable = int(sys.argv[1]), len(sys.argv) > 2
c = imaplib.IMAP4("127.0.0.1", port)
c.login("someone", "a password")
if enable:
    c._simple_command("ENABLE", "UTF8=ACCEPT")
name = c.list()[1][0].split()[-1].strip(b'"').decode()
c.logout()
print(name)
PY
timeout 120 python3 server.py &
server=$!
for _ in $(seq 100); do [ -s port ] && break; sleep 0.1; done
free=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >conf <<CONF
server_hostname 127.0.0.1
server_port $(cat port)
listen_address 127.0.0.1
listen_port $free
cache_size 16
cache_expiration_time 300
proc_username nobody
proc_groupname nogroup
stat_filename $dir/stats
protocol_log_filename $dir/protocol
syslog_facility LOG_MAIL
send_tcp_keepalives no
enable_select_cache no
foreground_mode yes
force_tls no
enable_admin_commands no
CONF
LD_LIBRARY_PATH=$so timeout 120 root/usr/sbin/imapproxyd -f conf -p pid >log 2>&1 &
proxy=$!
for _ in $(seq 100); do python3 -c "import socket; socket.create_connection(('127.0.0.1', $free))" 2>/dev/null && break; sleep 0.1; done
{
	echo "without the proxy:                $(python3 client.py "$(cat port)")"
	before=$(cat sessions)
	echo "a client that enables UTF-8:      $(python3 client.py "$free" enable)"
	echo "the next one, that enables none:  $(python3 client.py "$free")"
	echo "sessions of both at the server:   $(($(cat sessions) - before))"
} | tee out
diff out - <<'WANT'
without the proxy:                Gr&APwA3w-e
a client that enables UTF-8:      Grüße
the next one, that enables none:  Grüße
sessions of both at the server:   1
WANT
