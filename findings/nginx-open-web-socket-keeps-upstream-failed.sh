#!/usr/bin/env bash
# nginx 1.22 (Debian 12), two servers in `upstream`, `proxy_next_upstream
# http_503`, everything else as it is by default: the servers restart one after
# the other and answer 503 meanwhile; both are whole again, and nginx still
# answers 502 to nearly every Web Socket.
#
# One would expect a server to count as good again after fail_timeout. nginx then
# lets ONE request try it, and clears the failure when this request has ended
# well. A Web Socket has not ended as long as it is open: until then each server
# gets one more request per fail_timeout, and all others get 502 "no live
# upstreams". The same requests that end at once are all served.
#
# Prints what came, and exits with 1 where nginx behaves otherwise. Without root:
# the package is unpacked into a temporary folder. Needs python3.
set -euo pipefail
want=1.22.1
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
apt-get download nginx >/dev/null 2>&1 || { echo "apt-get download nginx failed: run apt-get update"; exit 1; }
dpkg -x nginx_*.deb pkg
nginx=$dir/pkg/usr/sbin/nginx
version=$("$nginx" -v 2>&1 | sed 's,.*/,,;s/ .*//')
[ "$version" = "$want" ] || { echo "nginx $version, and this is about $want"; exit 1; }

cat >world.py <<'PY'
import socket, subprocess, sys, threading, time
nginx, folder = sys.argv[1:]

class Backend:
    def __init__(self):
        self.down, self.hold = False, True
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()
    def accept(self):
        while True:
            conn, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()
    def serve(self, conn):
        head = b""
        while b"\r\n\r\n" not in head:
            part = conn.recv(4096)
            if not part:
                return conn.close()
            head += part
        if self.down:
            conn.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return conn.close()
        conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        if self.hold:
            conn.recv(1)  # until the client goes
        conn.close()

def run(hold):
    backends = [Backend(), Backend()]
    for b in backends:
        b.hold = hold
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    conf = folder + "/nginx.conf"
    temps = "".join(f"{k}_temp_path {folder}/{k};" for k in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    open(conf, "w").write(f"""
pid {folder}/pid; error_log {folder}/error.log; events {{}}
http {{ access_log off; {temps}
  upstream u {{ server 127.0.0.1:{backends[0].port} fail_timeout=2s; server 127.0.0.1:{backends[1].port} fail_timeout=2s; }}
  server {{ listen 127.0.0.1:{port};
    location / {{ proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade; proxy_next_upstream error timeout http_503; }} }} }}
""")
    proxy = subprocess.Popen([nginx, "-e", folder + "/error.log", "-p", folder, "-c", conf, "-g", "daemon off; master_process off;"])
    opened = []
    def ask():
        c = socket.create_connection(("127.0.0.1", port), timeout=10)
        c.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        opened.append(c)
        return c.recv(4096).split(b" ")[1].decode()
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        first = []
        for b in backends:     # they restart one after the other
            b.down = True
            first += [ask(), ask()]
            b.down = False
        time.sleep(4)          # twice fail_timeout; both are whole
        answers = [ask() for _ in range(10)]
    finally:
        for c in opened:
            c.close()
        proxy.terminate()
        proxy.wait()
    return first, answers

first, held = run(hold=True)
_, ended = run(hold=False)
print("while one after the other is down:", " ".join(first))
print("ten Web Sockets that stay open:", " ".join(held))
print("ten that end at once:          ", " ".join(ended))
ok = held.count("101") <= 3 and held.count("502") >= 7 and ended == ["101"] * 10
sys.exit(0 if ok else 1)
PY
echo "nginx $version"
python3 world.py "$nginx" "$dir" || { echo "nginx behaves otherwise"; exit 1; }
