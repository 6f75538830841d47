# fish completion of kubectl-podsplit: kubectl podsplit completion fish | source
function __kubectl_podsplit
  set -l words (commandline -opc)
  set -l lines (kubectl-podsplit __complete $words[2..-1] (commandline -ct) 2>/dev/null)
  string match -v ':*' -- $lines
  contains -- :0 $lines; and __fish_complete_path (commandline -ct)
end
complete -c kubectl-podsplit -f -a '(__kubectl_podsplit)'
