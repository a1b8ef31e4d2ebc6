### head job of delftblue
#!/bin/bash
#SBATCH --job-name=rsdat-NAME-xxxxx
#SBATCH --output=job.log
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --mem=4096M
#SBATCH --time=02:00:00
#SBATCH --partition=compute
#SBATCH --account=innovation
#SBATCH --signal=B:USR1@120

umask 077

# The queue's warning reaches this shell alone: hand it on to the program, and leave as it leaves.
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
"$HOME"/.rsdat/environments/default/bin/python -m rsdat.session.head &
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
exit "$status"

### worker job of pool default
#!/bin/bash
#SBATCH --job-name=rsdat-SESSION-w1
#SBATCH --output=~/.rsdat/sessions/SESSION/workers/w1-%j.log
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --mem=8192M
#SBATCH --time=02:00:00
#SBATCH --partition=compute
#SBATCH --account=innovation

umask 077
export DASK_CONFIG="$HOME"/.rsdat/sessions/SESSION/dask
export RSDAT_SESSION="$HOME"/.rsdat/sessions/SESSION

exec "$HOME"/.rsdat/environments/default/bin/python -m distributed.cli.dask_worker tls://SCHEDULER:PORT --name w1 --nthreads 2 --memory-limit 8GiB --local-directory /scratch/"${USER:?}" --no-dashboard --dashboard-address 127.0.0.1:0 --protocol tls:// --death-timeout 60 --lifetime 6660s --lifetime-stagger 360s
