#!/bin/sh
# name: rsdat-lab-1a2b3-w3
# cores: 16

umask 077
exec >/home/researcher/.rsdat/sessions/lab-1a2b3/workers/w3-"${RSDAT_JOB_RECORD##*/}".log 2>&1
record=${RSDAT_JOB_RECORD-}
unset RSDAT_JOB_RECORD
export DASK_CONFIG=/home/researcher/.rsdat/sessions/lab-1a2b3/dask

# Stay beside the program: hand signals on to it, and write down how it ended.
child=
hand_on() {
    if [ -n "$child" ]; then
        kill -s "$1" "$child" 2>/dev/null || :
    elif [ "$1" = TERM ]; then
        exit 143
    fi
}
trap 'hand_on USR1' USR1
trap 'hand_on TERM' TERM
'/opt/our python/bin/python' -m distributed.cli.dask_worker tls://10.0.0.1:8786 --local-directory "${TMPDIR:-/tmp}" --name 'it'"'"'s' &
child=$!
# A signal ends a wait early, while the program is still there.
while :; do
    status=0
    wait "$child" || status=$?
    if [ "$status" -le 128 ] || ! kill -s 0 "$child" 2>/dev/null; then
        break
    fi
done
# It may have ended just after such a signal: bash still knows how, other shells have told above.
if [ "$status" -gt 128 ]; then
    last=0
    wait "$child" || last=$?
    [ "$last" -eq 127 ] || status=$last
fi
if [ -n "$record" ]; then
    echo "$status $(date +%s)" >"$record.new" && mv "$record.new" "$record.exit"
fi
exit "$status"
