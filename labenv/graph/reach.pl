# Which ports of other machines this one reaches. To each ADDRESS:PORT of the arguments goes the first packet of a TCP connection, and
# a line says what came back: "ADDRESS:PORT open", "refused" (a reset), "rejected" (by ICMP), "unreachable", or "silent".
#
# No connection is made: our kernel knows of none, so it answers what came back with a reset, and no server notices anything. It
# begins at ports that the kernel gives nobody, by which labenv knows its own packets (images/tools/source/connect.c).
use strict;
use warnings;
use Errno qw(ENETUNREACH EHOSTUNREACH);
use Socket;

my ($ICMP, $TCP, $UDP, $SYN, $RST, $ACK) = (1, 6, 17, 0x02, 0x04, 0x10);
my ($FIRST_PORT, $PORTS) = (61000, 4536);
my @WAITS = (0.15, 0.25, 0.4);    # seconds after a packet, and after each that is sent again

sub checksum {    # RFC 1071
    my ($data) = @_;
    my $sum = unpack '%32n*', length($data) % 2 ? "$data\0" : $data;
    $sum = ($sum >> 16) + ($sum & 0xffff) while $sum >> 16;
    return ~$sum & 0xffff;
}

sub segment {    # RFC 9293
    my ($source, $target, $from, $to) = @_;
    my $made = sub { pack 'nnNNCCnnnnn', $from, $to, 1, 0, 6 << 4, $SYN, 64240, $_[0], 0, 0x0204, 1460 };
    return $made->(checksum(pack('a4a4CCn', $source, $target, 0, $TCP, length $made->(0)) . $made->(0)));
}

alarm 10;
$| = 1;
socket my $tcp, PF_INET, SOCK_RAW, $TCP or die "a raw socket: $!\n";
socket my $icmp, PF_INET, SOCK_RAW, $ICMP or die "a raw socket: $!\n";
my $begin = int rand $PORTS;
my %open;    # what has no answer yet, by the port where it began
for my $place (0 .. $#ARGV) {
    my ($address, $port) = split /:/, $ARGV[$place];
    my $target = inet_aton($address);
    socket my $road, PF_INET, SOCK_DGRAM, $UDP or die "a socket: $!\n";
    if (!connect $road, pack_sockaddr_in($port, $target)) {    # sends nothing
        print "$ARGV[$place] unreachable\n";
        next;
    }
    my $source = (unpack_sockaddr_in(getsockname $road))[1];
    $open{$FIRST_PORT + ($begin + $place) % $PORTS} = [$ARGV[$place], $source, $target, $port];
}

sub told { my ($from, $word) = @_; my $way = delete $open{$from} or return; print "$way->[0] $word\n" }

for my $wait (@WAITS) {
    for my $from (sort keys %open) {
        my (undef, $source, $target, $port) = @{ $open{$from} };
        next if defined send $tcp, segment($source, $target, $from, $port), 0, pack_sockaddr_in(0, $target);
        told($from, 'unreachable') if $! == ENETUNREACH || $! == EHOSTUNREACH;    # a rule of our own is silence, too
    }
    my $left = $wait;
    while (%open && $left > 0) {
        my ($ready, $count) = ('');
        vec($ready, fileno $_, 1) = 1 for $tcp, $icmp;
        ($count, $left) = select $ready, undef, undef, $left;
        last if $count < 1;
        for my $socket (grep { vec $ready, fileno $_, 1 } $tcp, $icmp) {
            recv $socket, my $packet, 2048, 0;
            my $start = 4 * (ord($packet) & 15);
            if ($socket == $icmp) {    # RFC 792: unreachable, with the head of the packet that it is about
                my ($type, $code) = unpack "x${start}CC", "$packet\0\0";
                my $about = substr "$packet" . "\0" x 64, $start + 8;
                my $from = unpack 'n', substr $about, 4 * (ord($about) & 15), 2;
                my $way = $open{$from};
                next if $type != 3 || !$way || substr($about, 16, 4) ne $way->[2];
                told($from, $code < 2 ? 'unreachable' : 'rejected');
                next;
            }
            my ($port, $from, $flags) = unpack "x${start}nnx9C", $packet . "\0" x 32;
            my $way = $open{$from};
            next if !$way || $port != $way->[3] || substr($packet, 12, 4) ne $way->[2];
            told($from, $flags & $RST ? 'refused' : 'open') if $flags & $RST || ($flags & ($SYN | $ACK)) == ($SYN | $ACK);
        }
    }
}
told($_, 'silent') for sort keys %open;
