# As in the EL family, all users find the administrator's commands.
[ "$(id -u)" = 0 ] || PATH=$PATH:/usr/local/sbin:/usr/sbin
