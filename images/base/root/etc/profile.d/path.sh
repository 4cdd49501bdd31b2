# As in the EL family, administrators' commands are found by everybody.
[ "$(id -u)" = 0 ] || PATH=$PATH:/usr/local/sbin:/usr/sbin
