-- The system of record of Northgate Cycles' workshop, as the example agent uses it.
CREATE TABLE repairs(
  number TEXT PRIMARY KEY CHECK (number GLOB '[0-9][0-9][0-9][0-9]'),
  bike TEXT NOT NULL,
  work TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('waiting', 'in work', 'part ordered', 'ready', 'collected')),
  ready_on DATE,      -- when it was or will be ready; NULL while nobody knows
  price INTEGER       -- dollars; NULL while nobody knows
);

CREATE TABLE appointments(
  id INTEGER PRIMARY KEY,
  work TEXT NOT NULL,
  day DATE NOT NULL,
  time TEXT NOT NULL,
  name TEXT NOT NULL,
  phone TEXT NOT NULL,
  key TEXT UNIQUE,    -- one for each booking that the agent makes: tried twice, it is made once
  UNIQUE (day, time),
  -- Monday to Friday 9 to 6, Saturday 10 to 4; the last appointment is half an hour before.
  CONSTRAINT closed CHECK (
    CASE strftime('%w', day)
      WHEN '0' THEN 0
      WHEN '6' THEN time BETWEEN '10:00' AND '15:30'
      ELSE time BETWEEN '09:00' AND '17:30'
    END
  )
);
