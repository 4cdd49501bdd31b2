# Runs many commands at once for one caller, over one connection (labenv/engine/dial.py).
#
# A frame in either direction: number of the command (32 bit), kind (8 bit), length (32 bit), data.
# To here:   0 start this command (its words, separated by zero bytes), 1 input, 2 end of input, 3 kill.
# From here: 1 output, 2 error output, 3 the command has ended.
use strict;
use warnings;
use Fcntl;

my ($read, %input, %waiting, %last, %output, %open, %pid) = ('');
$SIG{PIPE} = 'IGNORE';
END { kill 'KILL', values %pid }

sub report {
    my ($id, $kind, $data) = @_;
    my $frame = pack('NCN', $id, $kind, length $data) . $data;
    while (length $frame) {
        my $sent = syswrite(STDOUT, $frame);
        exit unless defined $sent;
        substr($frame, 0, $sent) = '';
    }
}

sub start {
    my ($id, @words) = @_;
    pipe(my $in, my $to) && pipe(my $out, my $said) && pipe(my $err, my $complained) or die;
    my $child = fork // die;
    if (!$child) {
        open(STDIN, '<&', $in) && open(STDOUT, '>&', $said) && open(STDERR, '>&', $complained) or die;
        close $_ for $to, $out, $err, values %input, map { $_->[2] } values %output;
        %pid = ();
        exec { $words[0] } @words or die;
    }
    fcntl($to, F_SETFL, O_WRONLY | O_NONBLOCK);  # a command that reads nothing must not hold up the others
    ($pid{$id}, $input{$id}, $waiting{$id}, $open{$id}) = ($child, $to, '', 2);
    $output{fileno $out} = [$id, 1, $out];
    $output{fileno $err} = [$id, 2, $err];
}

sub obey {
    my ($id, $kind, $data) = @_;
    if ($kind == 0) { start($id, split /\0/, $data, -1) }
    elsif ($kind == 1) { $waiting{$id} .= $data if $input{$id} }
    elsif ($kind == 2) { $last{$id} = 1 }
    elsif ($pid{$id}) { kill 'KILL', $pid{$id} }
}

# Give a command what it will take of its input.
sub feed {
    my ($id) = @_;
    my $sent = syswrite($input{$id}, $waiting{$id});
    if (defined $sent) { substr($waiting{$id}, 0, $sent) = '' }
    elsif (!$!{EAGAIN}) { ($waiting{$id}, $last{$id}) = ('', 1) }  # it has closed its input
}

while (1) {
    my ($ready, $takes) = ('', '');
    for my $id (keys %input) {
        if (length $waiting{$id}) { vec($takes, fileno $input{$id}, 1) = 1 }
        elsif (delete $last{$id}) { delete $input{$id} }
    }
    vec($ready, $_, 1) = 1 for 0, keys %output;
    select($ready, $takes, undef, undef) > 0 or next;
    feed($_) for grep { vec($takes, fileno $input{$_}, 1) } keys %input;
    for my $descriptor (grep { vec($ready, $_, 1) } keys %output) {
        my ($id, $kind, $from) = @{ $output{$descriptor} };
        if (sysread($from, my $data, 65536)) { report($id, $kind, $data); next }
        delete $output{$descriptor};
        next if --$open{$id};
        waitpid(delete $pid{$id}, 0);
        delete $_->{$id} for \%input, \%waiting, \%last;
        report($id, 3, '');
    }
    next unless vec($ready, 0, 1);
    sysread(STDIN, $read, 65536, length $read) or exit;
    while (length $read >= 9) {
        my ($id, $kind, $length) = unpack('NCN', $read);
        last if length $read < 9 + $length;
        obey($id, $kind, substr($read, 9, $length));
        substr($read, 0, 9 + $length) = '';
    }
}
