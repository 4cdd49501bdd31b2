# ~/.bash_profile: read when you log in
[ ! -f ~/.bashrc ] || . ~/.bashrc
