#!/bin/bash
#SBATCH --job-name=rsdat-lab-1a2b3
#SBATCH --output=job.log
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --mem=8192M
#SBATCH --time=10:00:00
#SBATCH --partition=normal
#SBATCH --account=remote-sensing
#SBATCH --signal=B:USR1@120

umask 077
module load 2024
module load Python/3.12
export RSDAT_SESSION="$HOME"/.rsdat/sessions/lab-1a2b3

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
exit "$status"
