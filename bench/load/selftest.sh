#!/bin/bash
# selftest.sh - does the load generator count what it should?  Loopback only, about 30 s.
# BIN=-asan uses the sanitizer builds.  Ends with "N passed, N failed".
set -u
cd "$(dirname "$0")"
BIN=${BIN:-}; BUILD=${BUILD:-../build}; K=$BUILD/kmipload$BIN; F=$BUILD/floor$BIN
W=$(mktemp -d); PIDS=()
cleanup() { for p in "${PIDS[@]}"; do kill "$p" 2>/dev/null; done; wait 2>/dev/null; rm -rf "$W"; }
trap cleanup EXIT
pass=0; fail=0
ok()  { if [ "$1" = 0 ]; then pass=$((pass+1)); else fail=$((fail+1)); echo "FAILED: $2"; [ -s "$W/err" ] && tail -3 "$W/err"; fi; }
js()  { python3 -c 'import json,sys; d=json.load(open(sys.argv[1])); sys.exit(0 if eval(sys.argv[2]) else 1)' "$W/j" "$1"; }
BASE=${PORT:-27100}; N=0
srv() { N=$((N+1)); P=$((BASE+N)); "$F" --port $P --ca $W/pki/both-ca.pem --max-seconds 120 "$@" 2>>"$W/srv.log" & S=$!; PIDS+=($S); for _ in $(seq 50); do (exec 3<>/dev/tcp/127.0.0.1/$P) 2>/dev/null && return; sleep 0.05; done; }
C="--ca $W/pki/ec-ca.pem --cert $W/pki/ec-client.pem --key $W/pki/ec-client.key"
load() { $K "$@" --port $P --json "$W/j" >"$W/out" 2>"$W/err"; RC=$?; }
./mkpki.sh "$W/pki" >/dev/null 2>&1
EC="--cert $W/pki/ec-server.pem --key $W/pki/ec-server.key"
GOOD=$(python3 -c 'import hashlib; print(hashlib.sha256(bytes(range(32))).hexdigest())')
BAD=$(printf '0%.0s' $(seq 64))
echo "k1 $GOOD" > $W/good; echo "k1 $BAD" > $W/bad; seq 1 500 | sed "s/\$/ $GOOD -/" > $W/many

for h in 192.0.2.1 10.0.0.1 0.0.0.0 example.com ::; do
  $K get --host $h --uid 1 $C >/dev/null 2>"$W/err"; [ $? = 1 ] && grep -q 'refusing' "$W/err"; ok $? "refuses $h"
done

srv $EC
for t in 1.2 1.3; do
  for m in handshake "cold-get --uid-file $W/good" "cold-get --discover --uid-file $W/good" "get --uid-file $W/good" create "create --flow create,activate,get,getattr,revoke,destroy --name-prefix n --x-attr x-A=b" locate "mix --uid-file $W/good"; do
    load $m $C --tls $t -c 4 --threads 2 -d 0.3 -w 0.1 --server-pid $S
    [ $RC = 0 ] && js 'd["units"]>5 and d["errors_total"]==0 and d["resumed"]==0 and 0<d["server"]["cpu_s"]<=2.2*d["elapsed_s"]*d["machine"]["cpus"]'; ok $? "$m over TLS $t"
  done
  load handshake $C --tls $t --resume -d 0.4 -w 0.2; [ $RC = 0 ] && js 'd["resumed"]>=d["connects"]-1>0'; ok $? "resume over TLS $t"
  load handshake --ca $W/pki/ec-ca.pem --tls $t -d 0.3 -w 0; [ $RC = 2 ] && js 'd["units"]==0 and d["errors_total"]>0'; ok $? "no client certificate over TLS $t"
done
load cold-get $C --discover --uid k1 -n 100 -w 0 -c 3; [ $RC = 0 ] && js 'd["units"]==100 and d["requests"]==200'; ok $? "--discover sends one request more"
$K get --discover --uid 1 $C >/dev/null 2>"$W/err"; [ $? = 1 ] && grep -q 'cold-get' "$W/err"; ok $? "--discover is for cold-get"
load get $C --kmip 1.1 --uid k1 -n 1000 -w 0 -c 3; [ $RC = 0 ] && js 'd["units"]==1000 and d["requests"]==1000'; ok $? "count is exact"
load create $C -n 321 -w 0 -c 3 --flow create,get --uid-out $W/uids
[ $RC = 0 ] && [ $(wc -l < $W/uids) = 321 ] && [ $(cut -d' ' -f1 $W/uids | sort -u | wc -l) = 321 ] && [ $(grep -c " $GOOD " $W/uids) = 321 ]; ok $? "uid-out has every key once"
load get $C --uid-file $W/many --uid-order seq -n 500 -w 0 -c 4; [ $RC = 0 ] && js 'd["units"]==500'; ok $? "sequential uids with hashes"
load get $C --uid-file $W/bad -d 0.3 -w 0 --max-errors 50; [ $RC = 2 ] && js 'd["units"]==0 and d["errors"].get("verify:get:sha256",0)>=50 and d["aborted"]'; ok $? "wrong hash is an error, and errors are bounded"
load get $C --uid k1 --rate 500 -d 1 -w 0.2 -c 4; [ $RC = 0 ] && js '480<=d["units_per_s"]<=520'; ok $? "rate is kept"
load cold-get $C --uid k1 --rate 50 -d 1 -w 0.2 -c 8 --src 20; [ $RC = 0 ] && js '46<=d["units_per_s"]<=54'; ok $? "rate of cold gets from several addresses"
load handshake --ca $W/pki/rsa-ca.pem --cert $W/pki/ec-client.pem --key $W/pki/ec-client.key -d 0.2 -w 0; [ $RC = 2 ] && js 'd["units"]==0 and any("server-cert" in k for k in d["errors"])'; ok $? "an untrusted server is an error"
load handshake $C --sni wrong.bench.test -d 0.2 -w 0; [ $RC = 2 ] && js 'd["units"]==0'; ok $? "a wrong server name is an error"
load handshake $C --sni kms.bench.test -d 0.2 -w 0; [ $RC = 0 ]; ok $? "the right server name"

srv $EC --fail-every 10
load get $C --uid k1 -n 500 -w 0; [ $RC = 2 ] && js 'd["units"]==450 and d["errors"]=={"kmip:get:status1:0x1-ItemNotFound":50} and d["connects"]<=1'; ok $? "failures are counted by reason, the connection is kept"
srv $EC --corrupt-every 5
load get $C --uid k1 -n 100 -w 0; [ $RC = 2 ] && js 'd["units"]==80 and d["errors"]=={"verify:get:key-length":20}'; ok $? "a short key is an error"
srv $EC --sync-file $W/sync
load create $C -n 50 -w 0; [ $RC = 0 ] && [ $(stat -c %s $W/sync) = 8000 ]; ok $? "durable floor writes every create"
N=$((N+1)); P=$((BASE+N)); "$F" --port $P --ca $W/pki/ec-ca.pem $EC --max-seconds 60 & PIDS+=($!); sleep 0.3
for t in 1.2 1.3; do load handshake --ca $W/pki/ec-ca.pem --cert $W/pki/rsa-client.pem --key $W/pki/rsa-client.key --tls $t -d 0.3 -w 0; [ $RC = 2 ] && js 'd["units"]==0'; ok $? "a client certificate of another CA over TLS $t"; done
P=$((BASE+90)); load get $C --uid k1 -d 0.5 -w 0 --max-errors 20; [ $RC = 2 ] && js 'd["units"]==0 and any("ECONNREFUSED" in k for k in d["errors"])'; ok $? "nobody listening"
P=$((BASE+91)); python3 -c "
import socket,time
s=socket.socket(); s.setsockopt(1,2,1); s.bind(('127.0.0.1',$P)); s.listen(50); time.sleep(20)" & PIDS+=($!); sleep 0.4
load handshake $C -c 2 -d 1 -w 0 --timeout 0.2; [ $RC = 2 ] && js '2<=d["errors"].get("timeout:handshake",0)<=12 and d["units"]==0'; ok $? "a silent server times out"
P=$((BASE+93)); python3 -c "
import asyncio,ssl
c=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain('$W/pki/ec-server.pem','$W/pki/ec-server.key')
c.load_verify_locations('$W/pki/ec-ca.pem'); c.verify_mode=ssl.CERT_REQUIRED
async def h(r,w):
    await r.read(1); w.close()
async def m():
    asyncio.get_running_loop().set_exception_handler(lambda l,c: None)
    s=await asyncio.start_server(h,'127.0.0.1',$P,ssl=c)
    await asyncio.sleep(30)
asyncio.run(m())" 2>/dev/null & PIDS+=($!); sleep 0.8
# this server loses its alert in TLS 1.3: a rejected client must still not count
for t in 1.2 1.3; do
  load handshake --ca $W/pki/ec-ca.pem --tls $t -d 0.4 -w 0; [ $RC = 2 ] && js 'd["units"]==0 and d["errors_total"]>0'; ok $? "a silent rejection is no handshake over TLS $t"
  load handshake $C --tls $t -d 0.4 -w 0; [ $RC = 0 ] && js 'd["units"]>5'; ok $? "the same server's acceptance over TLS $t"
done
P=$((BASE+92)); mkfifo $W/in; sleep 60 > $W/in & PIDS+=($!)
openssl s_server -accept 127.0.0.1:$P -Verify 1 -CAfile $W/pki/ec-ca.pem -cert $W/pki/ec-server.pem -key $W/pki/ec-server.key -quiet < $W/in >/dev/null 2>&1 & PIDS+=($!); sleep 0.5
for t in 1.2 1.3; do load handshake $C --tls $t -c 2 -d 0.5 -w 0.1; [ $RC = 0 ] && js 'd["units"]>20'; ok $? "openssl s_server over TLS $t"; done
echo "$pass passed, $fail failed"
[ $fail = 0 ]
