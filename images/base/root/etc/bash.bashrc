# /etc/bash.bashrc: settings for all interactive shells
[ -n "$PS1" ] || return

shopt -s checkwinsize histappend
PS1='[\u@\h \W]\$ '
alias ls='ls --color=auto' ll='ls -l --color=auto' l.='ls -d .* --color=auto'
alias grep='grep --color=auto' egrep='egrep --color=auto' fgrep='fgrep --color=auto'
[ ! -e /etc/DIR_COLORS.sh ] || . /etc/DIR_COLORS.sh
# Like the EL family's nc, say why there is no connection.
alias nc='nc -v'
# Wrap long lines, and end where everything fits on the screen, so that systemctl status does not wait for a q.
export SYSTEMD_LESS=FRXMK

# Completion is read at the first Tab, because reading it takes longer than a shell takes to start.
labenv_complete() {
    . /usr/share/bash-completion/bash_completion
    _completion_loader "$@"
}
complete -D -F labenv_complete

# Keep what was typed as soon as the next prompt appears, not only when the shell ends.
HISTSIZE=1000
PROMPT_COMMAND='history -a'

# When one of the watched files is newer, record them all for the history: see /usr/lib/labenv/history.
labenv_keep() {
    local each watched
    if [ -e /run/labenv-history ]; then
        mapfile -t watched </run/labenv-watched
        for each in "${watched[@]}"; do
            [[ $each -nt /run/labenv-history ]] && break
            each=
        done
        [ -n "$each" ] || return 0
    fi
    /usr/lib/labenv/history keep
}

# Also save edits of these files: see /usr/lib/labenv/setup.
if [ "$EUID" = 0 ]; then
    PROMPT_COMMAND+='; [[ /etc/hosts -nt /run/labenv-saved || /etc/resolv.conf -nt /run/labenv-saved ||
        /etc/hostname -nt /run/labenv-saved ]] &&
        /usr/lib/labenv/setup save'
    PROMPT_COMMAND+='; labenv_keep'
fi
