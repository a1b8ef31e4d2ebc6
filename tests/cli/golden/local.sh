### head job of local
#!/bin/sh
# name: rsdat-NAME-xxxxx
# cores: 1

umask 077
exec >job.log 2>&1
record=${RSDAT_JOB_RECORD-}
unset RSDAT_JOB_RECORD

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
/path/to/python -m rsdat.session.head &
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

### worker job of pool default
#!/bin/sh
# name: rsdat-SESSION-w1
# cores: 1

umask 077
exec >"$HOME"/.rsdat/sessions/SESSION/workers/w1-"${RSDAT_JOB_RECORD##*/}".log 2>&1
record=${RSDAT_JOB_RECORD-}
unset RSDAT_JOB_RECORD
export DASK_CONFIG="$HOME"/.rsdat/sessions/SESSION/dask
export RSDAT_SESSION="$HOME"/.rsdat/sessions/SESSION

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
/path/to/python -m distributed.cli.dask_worker tls://SCHEDULER:PORT --name w1 --nthreads 1 --memory-limit 2GiB --no-dashboard --dashboard-address 127.0.0.1:0 --protocol tls:// --death-timeout 60 &
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
