#compdef kubectl-podsplit
# zsh completion of kubectl-podsplit: source <(kubectl podsplit completion zsh)
_kubectl_podsplit() {
  local line
  local -a candidates
  for line in "${(@f)$(kubectl-podsplit __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    case $line in
      :0) _files ;;
      :*) ;;
      *$'\t'*) candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
      *) candidates+=("${line//:/\\:}") ;;
    esac
  done
  (( $#candidates )) && _describe 'kubectl podsplit' candidates
}
compdef _kubectl_podsplit kubectl-podsplit
