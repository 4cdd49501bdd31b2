# Lay copies of a machine's files over the image that the machine was made from, in their order: /.labenv-kept/0, 1, ... (kept.sh).
use strict;
use warnings;

my $place = '/.labenv-kept';
for my $copy (sort { $a <=> $b } map { m{(\d+)$} } glob "$place/*") {
    my $lists = "$place.lists";
    mkdir $lists or die "$lists: $!\n";
    run('tar', '-xzf', "$place/$copy", '-C', $lists, '.labenv-folders', '.labenv-there');
    my %there = map { (substr($_, 1) => substr $_, 0, 1) } entries("$lists/.labenv-there");
    for my $folder (entries("$lists/.labenv-folders")) {
        next if -l $folder || !-d $folder;
        opendir my $listing, $folder or die "$folder: $!\n";
        for my $path (map { "$folder/$_" } grep { $_ ne '.' && $_ ne '..' } readdir $listing) {
            my $then = $there{$path} // '';
            my $is_folder = !-l $path && -d $path;
            # What is gone; and tar(1) replaces no folder by a file.
            run('rm', '-rf', '--one-file-system', '--', $path) if $is_folder ? $then ne 'd' : !$then || $then eq 'd';
        }
    }
    # A mail server gives a message in its queue the time of the next try, which is no news.
    my @how = ('--warning=no-timestamp', '--numeric-owner', '-p', '--xattrs', '--xattrs-include=security.*', '--exclude=.labenv-*');
    run('tar', '-xzf', "$place/$copy", '-C', '/', @how);
    run('rm', '-r', $lists);
}
run('rm', '-r', $place);

sub entries {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!\n";
    local $/;
    return split /\0/, scalar <$in> // '';
}

sub run {
    system(@_) == 0 or die "@_: status ", $? >> 8, "\n";
}
