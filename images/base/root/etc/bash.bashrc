# /etc/bash.bashrc: settings for all interactive shells
[ -n "$PS1" ] || return

shopt -s checkwinsize histappend
PS1='[\u@\h \W]\$ '
alias ls='ls --color=auto' ll='ls -l --color=auto' l.='ls -d .* --color=auto'
alias grep='grep --color=auto' egrep='egrep --color=auto' fgrep='fgrep --color=auto'
[ ! -e /etc/DIR_COLORS.sh ] || . /etc/DIR_COLORS.sh
# Like the EL family's nc, say why there is no connection.
alias nc='nc -v'

# What labenv needs of a shell: completion, what was typed, which files changed.
. /usr/lib/labenv/shell
