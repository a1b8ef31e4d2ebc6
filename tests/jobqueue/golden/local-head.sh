#!/bin/sh
# name: rsdat-lab-1a2b3
# cores: 2

umask 077
exec >job.log 2>&1
record=${RSDAT_JOB_RECORD-}
unset RSDAT_JOB_RECORD
module load 2024
module load Python/3.12
export RSDAT_SESSION="$HOME"/.rsdat/sessions/lab-1a2b3

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
"$HOME"/.rsdat/environment/bin/python -m rsdat.session.head &
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
