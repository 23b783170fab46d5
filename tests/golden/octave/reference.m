% The four metric protocols, written a second time in plain Octave (no packages), as an oracle for crdnet.metrics.
%
% Run from the repository:  octave-cli --quiet --no-history tests/golden/octave/reference.m > tests/golden/octave/reference.json
%
% Nothing is shared with the Python side but the formula of the pictures, which is exact in integers. Filters are
% two-dimensional here (conv2), downsampling filters every pixel and then throws most away, means are of the whole map.
1;

% A picture of stripes and texture, and the same with errors: (h, w, 3) integers; the second may leave 0..255.
function [clean, derained] = pictures (h, w)
  [x, y, c] = meshgrid (0:w-1, 0:h-1, 0:2);
  stripes = abs (mod (3 * x + 2 * y + 40 * c, 256) - 128);
  texture = mod (x .* y + 17 * c, 64);
  clean = 20 + stripes + texture;
  noise = mod (mod (7919 * x + 104729 * y + 1299709 * c, 65537) .^ 2, 65537);
  streak = 40 * (mod (x + 5 * y, 97) < 6);
  derained = clean + mod (noise, 61) - 30 + streak;
end

function db = psnr_db (a, b, peak)
  db = 10 * log10 (peak ^ 2 / mean ((a(:) - b(:)) .^ 2));
end

% Mean SSIM of two planes over the windows that fit; n/(n-1) turns population into sample moments.
function s = ssim_plane (a, b, window, peak, correction)
  c1 = (0.01 * peak) ^ 2;
  c2 = (0.03 * peak) ^ 2;
  local = @(p) conv2 (p, window, "valid");
  ma = local (a);
  mb = local (b);
  va = correction * (local (a .* a) - ma .^ 2);
  vb = correction * (local (b .* b) - mb .^ 2);
  vab = correction * (local (a .* b) - ma .* mb);
  map = ((2 * ma .* mb + c1) .* (2 * vab + c2)) ./ ((ma .^ 2 + mb .^ 2 + c1) .* (va + vb + c2));
  s = mean (map(:));
end

function s = ssim_colour (a, b, window, peak, correction)
  s = 0;
  for c = 1:3
    s += ssim_plane (a(:, :, c), b(:, :, c), window, peak, correction) / 3;
  end
end

function window = gaussian_window ()
  [x, y] = meshgrid (-5:5, -5:5);
  window = exp (-(x .^ 2 + y .^ 2) / (2 * 1.5 ^ 2));
  window /= sum (window(:));
end

% Index into 1..n of positions outside it, mirrored with the border pixel repeated: 3 2 1 | 1 2 3 | 3 2 1.
function index = mirrored (index, n)
  index = mod (index - 1, 2 * n) + 1;
  index(index > n) = 2 * n + 1 - index(index > n);
end

% imfilter (plane, ones (f) / f^2, "symmetric", "same"), by MATLAB's documentation: a correlation whose origin is pixel
% floor ((f + 1) / 2) of the box; then every f-th pixel.
function plane = shrunk (plane)
  [h, w] = size (plane);
  f = max (1, round (min (h, w) / 256));
  origin = floor ((f + 1) / 2);
  total = zeros (h, w);
  for i = 1:f
    for j = 1:f
      total += plane(mirrored ((1:h) + i - origin, h), mirrored ((1:w) + j - origin, w));
    end
  end
  plane = total(1:f:end, 1:f:end) / f ^ 2;
end

% MATLAB's luma; the weights times 1000 keep the sum exact.
function y = luma (rgb)
  y = 16 + (65481 * rgb(:, :, 1) + 128553 * rgb(:, :, 2) + 24966 * rgb(:, :, 3)) / 255000;
end

function write_case (h, w, last)
  [clean, derained] = pictures (h, w);
  saved = min (max (derained, 0), 255);
  gaussian = gaussian_window ();
  y_clean = luma (clean);
  y_saved = luma (saved);
  values = [
    psnr_db(derained / 255, clean / 255, 1), ssim_colour(derained / 255, clean / 255, ones (7) / 49, 1, 49 / 48);
    psnr_db(saved, clean, 255), ssim_colour(saved, clean, gaussian, 255, 1);
    psnr_db(y_saved, y_clean, 255), ssim_plane(shrunk (y_saved), shrunk (y_clean), gaussian, 255, 1);
    psnr_db(round (y_saved), round (y_clean), 255), ssim_plane(round (y_saved), round (y_clean), gaussian, 255, 1)
  ];
  names = {"crdnet", "toolbox-rgb", "prenet-y", "restormer-y"};
  printf ("    {\"height\": %d, \"width\": %d, \"sum_clean\": %d, \"sum_derained\": %d, \"scores\": {\n", ...
          h, w, sum (clean(:)), sum (derained(:)));
  for i = 1:4
    printf ("      \"%s\": {\"psnr\": %.15g, \"ssim\": %.15g}%s\n", names{i}, values(i, 1), values(i, 2), ...
            merge (i < 4, ",", ""));
  end
  printf ("    }}%s\n", merge (last, "", ","));
end

% f = 1; f = 2 without and with a remainder; f = 3 where rounding half to even would give 2; f = 4.
sizes = [40 97; 300 200; 512 512; 400 600; 385 501; 640 700; 901 1003];
printf ("{\n  \"octave\": \"%s\",\n", version ());
printf ("  \"command\": \"octave-cli --quiet --no-history tests/golden/octave/reference.m\",\n  \"cases\": [\n");
for k = 1:rows (sizes)
  write_case (sizes(k, 1), sizes(k, 2), k == rows (sizes));
end
printf ("  ]\n}\n");
