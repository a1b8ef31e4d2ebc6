# Print the small files of each session below ROOT, then what the queue says of the user's jobs.
# Arguments: ROOT ALL QUEUE-STATUS-COMMAND...
# ALL is "all" or "live": without those that have ended and of which the queue knows no job.
# Records begin with a line "\036ID/FILE"; the queue's is "\036/queue STATUS".
root=$1 all=$2
shift 2
case $root in "~/"*) root=$HOME/${root#"~/"} ;; "~") root=$HOME ;; esac
printf '\036/root\n%s\n\036/host\n%s\n' "$root" "$(uname -n)"

show() {
    workers=$1/workers
    for file in job request.json ready.json end.json node; do
        [ -s "$1/$file" ] && set -- "$@" "$1/$file"
    done
    shift
    awk 'FNR == 1 { printf "\036%s\n", FILENAME } { print }' "$@"
    [ -d "$workers" ] && printf '\036%s\n' "$workers" && ls "$workers"
}

ended=
cd "$root/sessions" 2>/dev/null && for id in *; do
    [ -f "$id/request.json" ] || continue
    if [ "$all" = live ] && [ -f "$id/end.json" ]; then
        ended="$ended $id"
    else
        show "$id"
    fi
done
answer=$("$@" 2>&1)
status=$?
for id in $ended; do
    case $answer in *"rsdat-$id"*) show "$id" ;; esac
done
printf '\036/queue %s\n%s\n' "$status" "$answer"
