# Takes lines out of a log that goes on being written. The program behind this one says which: its `chosen` gets where some lines begin
# in the log, and the lines, and returns a table of the numbers of those that go.
#
# Every other line stays, in its order, and the file stays the same file. Its writers are stopped for some milliseconds; what stays is
# written before the file is cut, so no moment loses a line. Another process waits for the end of this one to let them go on, so that no
# lost connection keeps them stopped. Nothing is taken out while another run goes on, or another program has the file open: tail -f would
# print it all once more.
use strict;
use warnings;
use Time::HiRes qw(sleep time);

my ($LOCK_EX, $O_WRONLY) = (2, 1);    # flock(2), open(2); to load Fcntl takes as long as all the rest
my @PORTS = (61000, 65535);    # where labenv's connections begin (images/tools/source/connect.c)
my $RUNS = '/run/labenv-checks';    # a file for each run that goes on, with the number of its shell here as its name
my $PATIENCE = 0.3;    # seconds for the writers to stop: a busy computer has to get round to it
my $NAME = 'labenv-tidies';    # of the process that does it, which may read the log beside that of another run
my $LARGEST = 16_000_000;

sub lines_of { my ($text) = @_; return $text =~ /([^\n]*\n)/g }

# The end of a file, and where that begins.
sub slurp {
    my ($path) = @_;
    open my $file, '<:raw', $path or return '';
    my $from = -s $file > $LARGEST ? -s _ - $LARGEST : 0;
    seek $file, $from, 0 if $from;
    local $/;
    my $text = <$file> // '';
    return wantarray ? ($text, $from) : $text;
}

# The processes that write the log, of these programs; undef if any other has it open.
sub writers {
    my ($log, $programs) = @_;
    my @log = (stat $log)[0, 1] or return;
    my @writers;
    for my $folder (glob '/proc/[0-9]*/fd') {
        my ($pid) = $folder =~ /(\d+)/;
        next if $pid == $$ || slurp("/proc/$pid/cmdline") =~ /^$NAME\0*$/;
        opendir my $there, $folder or next;
        for my $number (grep { !/^\./ } readdir $there) {
            my @there = (stat "$folder/$number")[0, 1];
            next unless @there && "@there" eq "@log";
            my ($flags) = slurp("/proc/$pid/fdinfo/$number") =~ /^flags:\s*(\d+)/m;
            my $program = readlink "/proc/$pid/exe" // '';
            return unless defined $flags && (oct($flags) & 3) == $O_WRONLY && $program =~ $programs;
            push @writers, $pid;
        }
    }
    return \@writers;
}

# Whether a run other than this one goes on. What a killed one has left of itself is removed.
sub others {
    for my $path (glob "$RUNS/*") {
        my ($pid) = $path =~ /(\d+)$/ or next;
        return 1 if slurp("/proc/$pid/cmdline") =~ m{^/labenv-tools/};
        unlink $path;
    }
    return 0;
}

sub stopped {
    my ($pid) = @_;
    return !grep { slurp($_) !~ /^\d+ \(.*\) [TtZX]/s } glob "/proc/$pid/task/*/stat";
}

# Take out what can be, with the writers stopped, so that the file is what was read: the size of what stays.
sub cut {
    my ($log, $writers) = @_;
    my $deadline = time + $PATIENCE;
    while (grep { !stopped($_) } @$writers) {
        return if time > $deadline;
        sleep 0.0005;
    }
    my ($text, $from) = slurp($log);
    my @lines = lines_of($text);
    my ($goes) = chosen($from, @lines);
    my ($first) = sort { $a <=> $b } keys %$goes;
    return $from + length $text unless defined $first;
    my ($start, $end) = (0, 0);
    $start += length $lines[$_] for 0 .. $first - 1;
    $end += length for @lines;
    my $kept = join('', map { $goes->{$_} ? () : $lines[$_] } $first .. $#lines) . substr $text, $end;
    open my $file, '+<:raw', $log or return;
    sysseek $file, $from + $start, 0;
    for (my $done = 0; $done < length $kept;) {
        $done += syswrite($file, $kept, length($kept) - $done, $done) // return;
    }
    truncate $file, $from + $start + length $kept;
    return $from + $start + length $kept;
}

# Stop the writers, which are of these programs, cut, and let them go on: a child does that too, as soon as this process has done so or
# has died. What is to be done before and after, the latter with the size of what stays, is done while nobody else takes out anything.
sub taken_out {
    my ($log, $programs, $before, $after) = @_;
    open my $lock, '>', "$RUNS/.lock" or return;
    flock $lock, $LOCK_EX or return;
    my $writers = writers($log, $programs) or return;
    return if others();
    $before->() if $before;
    pipe my $alive, my $held or return;
    defined(my $child = fork) or return;
    if (!$child) {
        close $held;
        sysread $alive, my $nothing, 1;
        kill 'CONT', @$writers;
        exit;
    }
    close $alive;
    kill 'STOP', @$writers;
    my $size = eval { local $SIG{ALRM} = sub { die }; alarm 1; cut($log, $writers) };
    alarm 0;
    kill 'CONT', @$writers;
    close $held;
    waitpid $child, 0;
    $after->($size) if $after && defined $size;
    return $size;
}
