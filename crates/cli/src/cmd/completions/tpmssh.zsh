#compdef tpmssh
# Completion of tpmssh for zsh: put it into a directory of $fpath, by the name _tpmssh.

_tpmssh() {
    local -a answers values shown
    local answer value help
    # The words without their quotes, up to the cursor.
    answers=("${(@f)$(
        command ${(Q)words[1]} complete -- "${(@Q)words[1,CURRENT]}" 2>/dev/null
    )}")
    for answer in $answers; do
        value=${answer%%$'\t'*}
        help=
        [[ $answer == *$'\t'* ]] && help=" -- ${answer#*$'\t'}"
        if [[ $value == */ ]]; then
            compadd -S '' -- "$value"
        else
            values+=("$value")
            shown+=("$value$help")
        fi
    done
    (( $#values )) && compadd -l -V tpmssh -d shown -a -- values
    (( $#answers > 0 ))
}

if [[ $funcstack[1] == _tpmssh ]]; then
    _tpmssh "$@"
else
    compdef _tpmssh tpmssh
fi
