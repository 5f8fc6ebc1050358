package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/signpost-go/signpost"
)

// A shop has a database of its own, as every service has, in which an order is stored before it is announced.
type shop struct {
	db *sql.DB
}

var goods = []string{"lantern", "compass", "walking stick", "map", "boots"}

func openShop(ctx context.Context, dir string) (*shop, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(filepath.Join(dir, "shop.db"))+"?_pragma=journal_mode(wal)&_pragma=synchronous(full)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS orders (
		number INTEGER PRIMARY KEY, item TEXT NOT NULL, cents INTEGER NOT NULL, sold_at INTEGER NOT NULL, announced INTEGER NOT NULL DEFAULT 0)`)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the shop's database: %w", err), db.Close())
	}
	return &shop{db}, nil
}

func (s *shop) close() error { return s.db.Close() }

// An order is what was sold, and the data of its event.
type order struct {
	Number int64     `json:"number"`
	Item   string    `json:"item"`
	Cents  int       `json:"cents"`
	SoldAt time.Time `json:"sold_at"`
}

// sell stores an order, then announces it.
func (s *shop) sell(ctx context.Context, o *outbox) error {
	var next int64
	if err := s.db.QueryRowContext(ctx, "SELECT coalesce(max(number), 0) + 1 FROM orders").Scan(&next); err != nil {
		return err
	}
	sold := order{Number: next, Item: goods[int(next)%len(goods)], Cents: 500 + int(next*137%4000), SoldAt: time.Now().UTC()}
	_, err := s.db.ExecContext(ctx, "INSERT INTO orders (number, item, cents, sold_at) VALUES (?, ?, ?, ?)",
		sold.Number, sold.Item, sold.Cents, sold.SoldAt.UnixMilli())
	if err != nil {
		return err
	}
	return s.announce(ctx, o, sold)
}

// announce hands an order's webhooks to the outbox, and marks it when they are durable. If the process dies in between, or
// the outbox can't tell whether it has them, they are handed over again: their IDs are the same.
func (s *shop) announce(ctx context.Context, o *outbox, sold order) error {
	body, err := json.Marshal(map[string]any{"type": "order.paid", "timestamp": sold.SoldAt, "data": sold})
	if err != nil {
		return err
	}
	for _, r := range receivers {
		m := &signpost.Message{ID: fmt.Sprintf("order_%d_%s", sold.Number, r.name), URL: o.url(r), Payload: body, CreatedAt: time.Now()}
		if err := o.dispatcher.Enqueue(ctx, m); err != nil {
			return fmt.Errorf("announce order %d to %s: %w", sold.Number, r.name, err)
		}
	}
	_, err = s.db.ExecContext(ctx, "UPDATE orders SET announced = 1 WHERE number = ?", sold.Number)
	return err
}

// announceAgain announces the orders that aren't marked, and returns how many these were.
func (s *shop) announceAgain(ctx context.Context, o *outbox) (int, error) {
	orders, err := s.unannounced(ctx)
	if err != nil {
		return 0, err
	}
	for _, sold := range orders {
		if err := s.announce(ctx, o, sold); err != nil {
			return 0, err
		}
	}
	return len(orders), nil
}

func (s *shop) unannounced(ctx context.Context) (orders []order, err error) {
	rows, err := s.db.QueryContext(ctx, "SELECT number, item, cents, sold_at FROM orders WHERE announced = 0 ORDER BY number")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var o order
		var at int64
		if err := rows.Scan(&o.Number, &o.Item, &o.Cents, &at); err != nil {
			return nil, err
		}
		o.SoldAt = time.UnixMilli(at).UTC()
		orders = append(orders, o)
	}
	return orders, rows.Err()
}
