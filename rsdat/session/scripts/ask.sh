# Run several commands in one round trip and print what each says, between marked lines.
# Arguments: WORD SECONDS, then for each command LABEL INPUT COUNT and COUNT words.
# WORD marks our lines; a leading ~/ of a word stands for the home here.
set -u
word=$1 seconds=$2
shift 2

limited() {
    if command -v timeout >/dev/null; then
        timeout "$seconds" "$@"
    else
        "$@"
    fi
}

# Runs the first $1 of the further arguments.
first() {
    count=$1
    shift
    rest=$(($# - count))
    while [ "$count" -gt 0 ]; do
        argument=$1
        case $argument in "~/"*) argument=$HOME/${argument#"~/"} ;; "~") argument=$HOME ;; esac
        shift
        set -- "$@" "$argument"
        count=$((count - 1))
    done
    shift "$rest"
    limited "$@"
}

while [ $# -gt 0 ]; do
    label=$1 given=$2
    shift 2
    printf '\n%s begin %s\n' "$word" "$label"
    printf %s "$given" | first "$@" 2>&1
    printf '\n%s end %s %s\n' "$word" "$?" "$label"
    shift "$(($1 + 1))"
done
