# Completion of tpmssh for bash 4.4 or newer: source it, or put it into
# /usr/share/bash-completion/completions/tpmssh.

_tpmssh() {
    # Not by the words of bash: those end at @ and :, which are in labels. mapfile, as nothing may
    # be expanded in a label.
    mapfile -t COMPREPLY < <(
        "$1" complete --line="${COMP_LINE:0:COMP_POINT}" --word="$2" 2>/dev/null
    )
    if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[/=] ]]; then
        compopt -o nospace
    fi
}

complete -o nosort -o bashdefault -o default -F _tpmssh tpmssh
