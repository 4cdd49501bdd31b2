# ~/.bashrc: your own settings for interactive shells; those for all users are in /etc/bash.bashrc
