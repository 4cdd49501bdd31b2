# /etc/bash.bashrc: what all interactive shells share
[ -n "$PS1" ] || return

shopt -s checkwinsize
PS1='[\u@\h \W]\$ '
alias ll='ls -l'

# Edits of these two files are saved as soon as the next prompt appears: see /usr/lib/labenv/setup.
if [ "$EUID" = 0 ]; then
    PROMPT_COMMAND='[[ /etc/hosts -nt /run/labenv-saved || /etc/resolv.conf -nt /run/labenv-saved ]] &&
        /usr/lib/labenv/setup save'
fi
