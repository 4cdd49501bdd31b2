# System-wide .bashrc file for interactive bash(1) shells.

# If not running interactively, don't do anything
[ -z "$PS1" ] && return

shopt -s checkwinsize histappend
PS1='\u@\h:\w\$ '

# What labenv needs of a shell: completion, what was typed, which files changed.
. /usr/lib/labenv/shell
