# Jobs on a machine without a job queue: submit SCRIPT | status [ID...] | cancel GRACE ID...
#
# Each job has a record, named by its id, in a directory of this machine (a home may be shared by
# many): three lines with its process, the submission and its name; ID.exit and ID.cancel say how
# it ended. POSIX sh, with setsid where there is one and perl where there is none (macOS).
set -u
umask 077
jobs=${XDG_STATE_HOME:-$HOME/.local/state}/rsdat/jobs/$(uname -n)

# When a process was born: with its number, the one thing that tells it from a later one.
# Nothing for a process that has ended and only waits to be collected.
born() {
    if [ -r /proc/self/stat ]; then
        # The program's name is in parentheses and may itself hold spaces and parentheses.
        stat=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) || return 0
        # shellcheck disable=SC2086
        set -- $stat
        case ${1-Z} in [ZX]) ;; *) echo "${20}" ;; esac
    else
        case $(ps -o stat= -p "$1") in
        '' | Z*) ;;
        *) ps -o lstart= -p "$1" | tr -cs 'A-Za-z0-9\n' '_' ;;
        esac
    fi
}

detached() {
    if command -v setsid >/dev/null; then
        exec setsid "$@"
    fi
    exec perl -e 'use POSIX; POSIX::setsid(); exec @ARGV; exit 127' "$@"
}

# Reads the record of $1 into pid, birth, submitted, cores, name.
known() {
    case $1 in '' | *[!0-9.]*) return 1 ;; esac
    { read -r pid birth && read -r submitted cores && IFS= read -r name; } 2>/dev/null <"$jobs/$1"
}

# Whether the process group $1 has members that still run; killed ones may wait to be collected.
peopled() {
    kill -s 0 -- "-$1" 2>/dev/null || return 1
    command -v ps >/dev/null || return 0
    ps -eo pgid=,stat= | awk -v group="$1" '$1 == group && $2 !~ /^Z/ { found = 1 }
        END { exit !found }'
}

# Whether the job runs: its shell, or, where that was killed, what it has left behind.
alive() {
    [ -n "$birth" ] || return 1
    now=$(born "$pid")
    [ "$now" = "$birth" ] || { [ -z "$now" ] && peopled "$pid"; }
}

submit() {
    mkdir -p "$jobs" || exit 1
    find "$jobs" -name '*.exit' -mtime +30 | while IFS= read -r old; do
        rm -f "${old%.exit}" "${old%.exit}.cancel" "$old"
    done
    [ -r "$1" ] || { echo "cannot read the job script $1" >&2; exit 1; }
    name=$(sed -n '2s/^# name: //p' "$1")
    cores=$(sed -n '3s/^# cores: //p' "$1")
    submitted=$(date +%s)
    id=$submitted.$$
    export RSDAT_JOB_RECORD="$jobs/$id"
    detached sh "$1" </dev/null >/dev/null 2>&1 &
    pid=$!
    printf '%s %s\n%s %s\n%s\n' "$pid" "$(born "$pid")" "$submitted" "$cores" "$name" \
        >"$jobs/$id.part" && mv "$jobs/$id.part" "$jobs/$id" || {
        kill "$pid"
        exit 1
    }
    echo "$id"
}

status() {
    if [ $# -eq 0 ]; then
        for file in "$jobs"/*; do
            id=${file##*/}
            case $id in *[!0-9.]*) ;; *) set -- "$@" "$id" ;; esac
        done
    fi
    for id; do
        known "$id" || continue
        code=
        ended=$(date +%s)
        if alive; then
            state=RUNNING
        else
            state=LOST
        fi
        if [ -r "$jobs/$id.exit" ]; then
            state=EXITED
            read -r code ended <"$jobs/$id.exit"
        fi
        if [ -e "$jobs/$id.cancel" ]; then
            [ "$state" = RUNNING ] && state=ENDING || state=CANCELLED
        fi
        printf '%s|%s|%s|%s|%s|%s|%s\n' \
            "$id" "$state" "$submitted" "$ended" "$code" "$cores" "$name"
    done
}

kill_all() {
    for pid in $groups; do
        kill -s KILL -- "-$pid" 2>/dev/null
    done
}

cancel() {
    tenths=$(($1 * 10))
    shift
    groups=
    for id; do
        known "$id" && alive || continue
        # One that has said how it ended is over, and its shell about to go.
        [ -r "$jobs/$id.exit" ] || : >"$jobs/$id.cancel"
        # To the job's shell, which hands it on to the program alone: that ends its own children.
        [ -n "$now" ] || pid=-$pid
        kill -s TERM -- "$pid" 2>/dev/null
        pid=${pid#-}
        groups="$groups $pid"
    done
    # After TERM the time that was given, after KILL what a busy machine needs to be rid of them.
    for signal in TERM KILL; do
        while [ "$tenths" -gt 0 ]; do
            left=
            for pid in $groups; do
                peopled "$pid" && left="$left $pid"
            done
            groups=$left
            [ -n "$groups" ] || return 0
            [ "$signal" = TERM ] || kill_all
            sleep 0.1
            tenths=$((tenths - 1))
        done
        tenths=100
    done
    return 0
}

"$@"
