# The rules of a machine's firewall on trial: they are loaded as at boot, and packets are tried on them.
#
# It runs in a container that has no network, where a pair of interfaces ends on both sides: "eth0" has the machine's address, and
# frames written to "wire" arrive there, from whichever source they name. Its input is
#     ADDRESS/PREFIX SECONDS
#     try SOURCE PORT HARDWARE-ADDRESS|- tcp|udp       for each packet
#     rules
# and then the file of the rules, to the end. It answers with records, each "NAME LENGTH\n" and so many bytes: "failed" with what
# the loader of the rules said; or else "loaded" with the counters, and for each packet its fate, "in", "rejected" or "dropped",
# with the counters after it. The last one is "end".
use strict;
use warnings;
use Fcntl ':flock';
use Socket;

my ($AF_PACKET, $ETH_P_ALL, $ETH_P_IP, $ETH_P_ARP) = (17, 0x0003, 0x0800, 0x0806);    # packet(7), if_ether.h
my ($ICMP, $TCP, $UDP, $SYN, $RST, $ACK) = (1, 6, 17, 0x02, 0x04, 0x10);
my $NOBODY = "\x02\0\0\0\0\x01";    # a hardware address that no interface has
my $SAVED = '/run/labenv-trial-rules';
my $GRACE = 0.03;    # seconds for an answer that another processor may still be working on

sub record { my ($name, $text) = @_; printf "%s %d\n%s", $name, length $text, $text }
sub slurp { my ($path) = @_; local $/; open my $file, '<', $path or die "$path: $!\n"; my $text = <$file>; return $text // '' }
sub output { my ($command) = @_; my $text = `$command 2>&1`; return ($?, $text) }
sub done { my ($command) = @_; my ($status, $said) = output($command); die "$command: $said" if $status; return $said }
sub checksum {
    my ($data) = @_;
    my $sum = unpack '%32n*', length($data) % 2 ? "$data\0" : $data;
    $sum = ($sum >> 16) + ($sum & 0xffff) while $sum >> 16;
    return ~$sum & 0xffff;
}

sub packet {    # RFC 791, RFC 9293, RFC 768
    my ($protocol, $source, $target, $from, $to) = @_;
    my $segment = $protocol == $TCP
        ? sub { pack 'nnNNCCnnnnn', $from, $to, 1, 0, 6 << 4, $SYN, 64240, $_[0], 0, 0x0204, 1460 }
        : sub { pack 'nnnnN', $from, $to, 12, $_[0], $from };
    my $size = length $segment->(0);
    my $head = sub { pack 'CCnnnCCna4a4', 0x45, 0, 20 + $size, $from, 0x4000, 64, $protocol, $_[0], $source, $target };
    my $sum = checksum(pack('a4a4CCn', $source, $target, 0, $protocol, $size) . $segment->(0));
    return $head->(checksum($head->(0))) . $segment->($sum);
}

$| = 1;
binmode $_ for *STDIN, *STDOUT;
my ($place, $seconds) = split ' ', <STDIN>;
my ($address) = split '/', $place;
my @tries;
while (defined(my $line = <STDIN>)) {
    last if $line eq "rules\n";
    my (undef, $source, $port, $hardware, $protocol) = split ' ', $line;
    push @tries, [$source, $port, $hardware eq '-' ? $NOBODY : pack('H*', $hardware =~ tr/://dr), $protocol eq 'udp' ? $UDP : $TCP];
}
my $rules = do { local $/; <STDIN> };
alarm $seconds;

# Whoever comes first has the network to himself; the end of the process gives it back.
open my $lock, '>', '/run/labenv-trial' or die "/run/labenv-trial: $!\n";
flock $lock, LOCK_EX or die "flock: $!\n";

output('ip link delete eth0');
done('nft flush ruleset');
done('ip link add eth0 type veth peer name wire');
open my $batch, '|-', 'ip -batch -' or die "ip: $!\n";
print $batch "link set lo up\naddress add $place dev eth0\nlink set wire up\nlink set eth0 up\nroute add default dev eth0\n";
print $batch "neighbour replace $_->[0] lladdr 02:00:00:00:00:01 dev eth0 nud permanent\n" for @tries;
close $batch or die "ip: $!\n";

open my $file, '>', $SAVED or die "$SAVED: $!\n";
print $file $rules // '';
close $file or die "$SAVED: $!\n";
my ($status, $said) = output("iptables-restore $SAVED");    # what the service that loads rules runs, in every dialect
if ($status) {
    record('failed', $said || "status $status");
    record('end', '');
    exit;
}

my %listeners;
for (@tries) {
    my ($port, $protocol) = @$_[1, 3];
    my $listener = \$listeners{"$protocol $port"};
    next if $$listener;
    socket $$listener, PF_INET, $protocol == $TCP ? SOCK_STREAM : SOCK_DGRAM, 0 or die "socket: $!\n";
    setsockopt $$listener, SOL_SOCKET, SO_REUSEADDR, 1;
    bind $$listener, pack_sockaddr_in($port, INADDR_ANY) or die "port $port: $!\n";
    $protocol == $UDP or listen $$listener, 16 or die "port $port: $!\n";
}

my $index = 0 + slurp('/sys/class/net/wire/ifindex');
my $theirs = pack 'H*', slurp('/sys/class/net/eth0/address') =~ tr/0-9a-f//cdr;
socket my $wire, $AF_PACKET, SOCK_RAW, unpack 'S', pack 'n', $ETH_P_ALL or die "a raw socket: $!\n";
bind $wire, pack 'SniSCCa8', $AF_PACKET, $ETH_P_ALL, $index, 0, 0, 0, '' or die "wire: $!\n";

my $target = inet_aton($address);
my $from = 40000 + int rand 20000;
record('loaded', done('iptables-save -c'));
for my $try (@tries) {
    my ($source, $port, $hardware, $sent) = @$try;
    my $listener = $listeners{"$sent $port"};
    my $near = inet_aton($source);
    $from++;
    send $wire, $theirs . $hardware . pack('n', $ETH_P_IP) . packet($sent, $near, $target, $from, $port), 0 or die "wire: $!\n";
    # No firewall of IP's stops ARP (RFC 826): once this is answered, the packet before it has been judged.
    my $asked = pack 'nnCCna6a4a6a4', 1, $ETH_P_IP, 6, 4, 1, $NOBODY, $near, '', $target;
    send $wire, "\xff" x 6 . $NOBODY . pack('n', $ETH_P_ARP) . $asked, 0 or die "wire: $!\n";
    my ($fate, $left) = ('dropped', 1);
    while ($fate eq 'dropped') {
        my $ready = '';
        vec($ready, fileno $wire, 1) = 1;
        vec($ready, fileno $listener, 1) = 1 if $sent == $UDP;
        last if select($ready, undef, undef, $left) < 1;
        if ($sent == $UDP && vec $ready, fileno $listener, 1) {    # no kernel answers a datagram
            my $peer = recv $listener, my $datagram, 2048, 0;
            send $listener, $datagram, 0, $peer if unpack('N', $datagram) == $from;
            next;
        }
        recv $wire, my $frame, 2048, 0;
        my $kind = unpack 'x12n', $frame;
        if ($kind == $ETH_P_ARP) {
            $left = $GRACE if unpack('x20n', $frame) == 2;
        }
        elsif ($kind == $ETH_P_IP && substr($frame, 26, 4) eq $target && substr($frame, 30, 4) eq $near) {
            my ($protocol, $start) = (unpack('x23C', $frame), 14 + 4 * (unpack('x14C', $frame) & 15));
            if ($protocol == $TCP && unpack("x${start}x2n", $frame) == $from) {
                my $flags = unpack "x${start}x13C", $frame;
                $fate = $flags & $RST ? 'rejected' : ($flags & ($SYN | $ACK)) == ($SYN | $ACK) ? 'in' : 'dropped';
            }
            elsif ($protocol == $UDP && unpack("x${start}x2n", $frame) == $from) {
                $fate = 'in';
            }
            elsif ($protocol == $ICMP && unpack("x${start}C", $frame) == 3) {    # RFC 792: unreachable
                $fate = 'rejected' if unpack("x${start}x28n", $frame) == $from;
            }
        }
    }
    record($fate, done('iptables-save -c'));
}
record('end', '');
