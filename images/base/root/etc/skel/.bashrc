# ~/.bashrc: your own settings for interactive shells; /etc/bash.bashrc has those of everybody
