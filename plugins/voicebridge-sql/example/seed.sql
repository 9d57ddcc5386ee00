-- What stands in the workshop in the last week of November 2026.
INSERT INTO repairs(number, bike, work, status, ready_on, price) VALUES
  ('4407', 'red city bike',        'full service',     'ready',        '2026-11-20', 95),
  ('4412', 'tandem',               'basic service',    'in work',      '2026-11-26', 45),
  ('4431', 'green mountain bike',  'brake adjustment', 'part ordered', '2026-12-03', NULL),
  ('4450', 'blue children''s bike', 'puncture repair',  'collected',    '2026-11-12', 12),
  ('4468', 'black electric bike',  'full service',     'waiting',      NULL,         NULL),
  ('4475', 'silver road bike',     'brake adjustment', 'ready',        '2026-11-23', 18),
  ('4483', 'old Dutch bike',       'basic service',    'waiting',      '2026-11-30', 45),
  ('4492', 'folding bike',         'puncture repair',  'part ordered', NULL,         12);

INSERT INTO appointments(work, day, time, name, phone) VALUES
  ('full service',     '2026-11-25', '09:00', 'Maria Lopez',   '5550188'),
  ('puncture repair',  '2026-11-26', '14:00', 'Tom Becker',    '5550117'),
  ('basic service',    '2026-11-27', '10:00', 'Grace Okafor',  '5550163'),
  ('brake adjustment', '2026-12-01', '15:00', 'Henry Walsh',   '5550175');
