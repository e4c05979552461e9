"""Endpoints commit themselves, and hand out objects that need no more SQL.

接口自己提交，返回的对象不再需要查询。
"""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Path
from pydantic import BaseModel

from teahouse.database import Session
from teahouse.models import Order

Number = Annotated[int, Path(gt=0, lt=2**31)]
router = APIRouter(prefix="/orders")


class Wanted(BaseModel):
    tea: Literal["longjing", "oolong", "pu-erh"]


class Placed(BaseModel):
    id: int
    tea: str
    placed_at: datetime


@router.post("", status_code=201, response_model=Placed)
async def place(wanted: Wanted, session: Session) -> Order:
    order = Order(tea=wanted.tea)
    session.add(order)
    await session.commit()
    return order


@router.get("/{number}", response_model=Placed)
async def look_up(number: Number, session: Session) -> Order:
    if order := await session.get(Order, number):
        return order
    raise HTTPException(404)
