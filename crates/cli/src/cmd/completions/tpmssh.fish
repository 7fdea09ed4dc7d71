# Completion of tpmssh for fish: put it into a directory of $fish_complete_path.

function __tpmssh_complete
    set -l words (commandline --tokenize --cut-at-cursor --current-process)
    set -l word (commandline --cut-at-cursor --current-token)
    command $words[1] complete -- $words (string unescape -- "$word"; or echo "$word") 2>/dev/null
end

complete --command tpmssh --no-files --keep-order --arguments '(__tpmssh_complete)'
